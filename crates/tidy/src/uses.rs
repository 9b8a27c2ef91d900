//! The names of a crate's code, resolved: which file uses which.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use crate::module::{ModuleId, Modules, Names};

/// How many imports a name is followed through: a circle of imports ends there.
const IMPORTS_MAX: usize = 16;

/// How the crates of this workspace begin in code.
const OUR_CRATES: &str = "claviger_";

/// What a use leads to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// A file of the same crate.
    File(PathBuf),
    /// Another crate of this workspace, as code names it.
    Crate(String),
}

/// Which file uses which, with one path that says so for each.
#[derive(Debug, Default)]
pub struct Uses(pub BTreeMap<(PathBuf, Target), String>);

/// What a path leads to inside its crate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found<'a> {
    Module(ModuleId),
    /// Something that this file defines.
    Item(&'a Path),
}

impl Uses {
    /// Reads a crate by the folder of its sources.
    pub fn of_crate(source: &Path) -> io::Result<Self> {
        let library = source.join("lib.rs");
        let root = if library.exists() { library } else { source.join("main.rs") };
        Ok(Self::of(&Modules::read(&root)?))
    }

    /// Resolves what modules name.
    pub fn of(modules: &Modules) -> Self {
        let mut uses = Self::default();
        for (id, module) in modules.all.iter().enumerate() {
            let imported = module.imports.iter().map(|(_, names)| names);
            for names in imported.chain(&module.paths) {
                match modules.resolve(id, names, 0) {
                    Some(Found::Item(file)) => uses.note(&module.file, Target::File(file.into()), names),
                    // The paths that begin with a module say what of it is used.
                    Some(Found::Module(_)) => {}
                    None if names[0].starts_with(OUR_CRATES) => {
                        uses.note(&module.file, Target::Crate(names[0].clone()), names);
                    }
                    None => {}
                }
            }
            for names in &module.globs {
                let file = match modules.resolve(id, names, 0) {
                    Some(Found::Item(file)) => file,
                    Some(Found::Module(other)) => &modules.all[other].file,
                    None => continue,
                };
                uses.note(&module.file, Target::File(file.into()), names);
            }
        }
        uses
    }

    fn note(&mut self, file: &Path, target: Target, names: &Names) {
        if target != Target::File(file.into()) {
            self.0.entry((file.into(), target)).or_insert_with(|| names.join("::"));
        }
    }
}

impl Modules {
    /// Finds what a path leads to; `None` if it leaves the crate.
    fn resolve(&self, from: ModuleId, names: &[String], imports: usize) -> Option<Found<'_>> {
        let (first, mut rest) = names.split_first()?;
        let mut found = match first.as_str() {
            "crate" => Found::Module(0),
            "self" => Found::Module(from),
            "super" => Found::Module(self.all[from].parent?),
            name => self.find(from, name, imports)?,
        };
        while let (Found::Module(id), Some((name, behind))) = (found, rest.split_first()) {
            rest = behind;
            found = match name.as_str() {
                "super" => Found::Module(self.all[id].parent?),
                // What a macro defines has no name in the source: it stands where the macro is called.
                name => self.find(id, name, imports).unwrap_or(Found::Item(&self.all[id].file)),
            };
        }
        Some(found)
    }

    /// Finds a name in a module.
    fn find(&self, id: ModuleId, name: &str, imports: usize) -> Option<Found<'_>> {
        let module = &self.all[id];
        if let Some(child) = module.children.get(name) {
            return Some(Found::Module(*child));
        }
        if module.items.contains(name) {
            return Some(Found::Item(&module.file));
        }
        if id == 0
            && let Some(file) = self.macros.get(name)
        {
            return Some(Found::Item(file));
        }
        if imports == IMPORTS_MAX {
            return None;
        }
        if let Some((_, names)) = module.imports.iter().find(|(known, _)| known == name) {
            return self.resolve_import(id, name, names, imports);
        }
        module.globs.iter().find_map(|names| match self.resolve(id, names, imports + 1)? {
            Found::Module(other) if other != id => self.find(other, name, imports + 1),
            Found::Module(_) | Found::Item(_) => None,
        })
    }

    fn resolve_import(&self, id: ModuleId, name: &str, names: &Names, imports: usize) -> Option<Found<'_>> {
        // `use bytes::Bytes` beside no module `bytes` leaves the crate; `use bytes;` would ask for itself for ever.
        if names.len() == 1 && names[0] == name {
            return None;
        }
        self.resolve(id, names, imports + 1)
    }
}
