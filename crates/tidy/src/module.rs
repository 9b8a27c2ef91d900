//! Tokens, read as modules: what each defines, imports and names.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

use crate::token::{Token, tokens};

/// The index of a module of a crate; the root is the first.
pub type ModuleId = usize;

/// A path, by its segments.
pub type Names = Vec<String>;

/// A module, in a file of its own or inside another.
#[derive(Debug, Default)]
pub struct Module {
    /// The file that its code stands in.
    pub file: PathBuf,
    /// The module around it; the root has none.
    pub parent: Option<ModuleId>,
    /// The modules inside.
    pub children: BTreeMap<String, ModuleId>,
    /// The items that it defines.
    pub items: BTreeSet<String>,
    /// What it imports, by the name that it has here.
    pub imports: Vec<(String, Names)>,
    /// What it imports whole, by `*`.
    pub globs: Vec<Names>,
    /// The paths that its code names.
    pub paths: Vec<Names>,
}

/// The modules of a crate.
#[derive(Debug, Default)]
pub struct Modules {
    /// Every module; the root is the first.
    pub all: Vec<Module>,
    /// The files of macros by example, which have a name of the root's wherever they stand.
    pub macros: BTreeMap<String, PathBuf>,
}

impl Modules {
    /// Reads the modules of a crate from the file of its root on.
    pub fn read(root: &Path) -> io::Result<Self> {
        let mut modules = Self::default();
        let folder = root.parent().unwrap_or(Path::new("")).to_owned();
        modules.read_file(root, None, &folder)?;
        Ok(modules)
    }

    /// Reads a file and those of the modules inside, which stand in `folder`.
    fn read_file(&mut self, file: &Path, parent: Option<ModuleId>, folder: &Path) -> io::Result<ModuleId> {
        let source = fs::read_to_string(file)?;
        let id = self.add(file, parent);
        for (inside, name) in Reader::read(self, id, &tokens(&source)) {
            let flat = folder.join(format!("{name}.rs"));
            let file = if flat.exists() { flat } else { folder.join(&name).join("mod.rs") };
            let child = self.read_file(&file, Some(inside), &folder.join(&name))?;
            self.all[inside].children.insert(name, child);
        }
        Ok(id)
    }

    fn add(&mut self, file: &Path, parent: Option<ModuleId>) -> ModuleId {
        self.all.push(Module { file: file.into(), parent, ..Module::default() });
        self.all.len() - 1
    }
}

/// A module that is being read, and how many braces were open where its code begins.
struct Open {
    id: ModuleId,
    depth: usize,
}

/// Reads the tokens of one file.
struct Reader<'a> {
    modules: &'a mut Modules,
    tokens: &'a [Token],
    at: usize,
    depth: usize,
    open: Vec<Open>,
    /// The modules that stand in files of their own, each with the module that names it.
    files: Vec<(ModuleId, String)>,
}

impl<'a> Reader<'a> {
    fn read(modules: &'a mut Modules, id: ModuleId, tokens: &'a [Token]) -> Vec<(ModuleId, String)> {
        let open = vec![Open { id, depth: 0 }];
        let mut reader = Self { modules, tokens, at: 0, depth: 0, open, files: Vec::new() };
        while reader.at < tokens.len() {
            reader.step();
        }
        reader.files
    }

    fn word(&self, ahead: usize) -> Option<&'a str> {
        self.tokens.get(self.at + ahead)?.word()
    }

    fn is(&self, ahead: usize, sign: char) -> bool {
        self.tokens.get(self.at + ahead).is_some_and(|token| token.is(sign))
    }

    fn module(&mut self) -> &mut Module {
        let id = self.open.last().expect("the file's own module is never closed").id;
        &mut self.modules.all[id]
    }

    fn step(&mut self) {
        if self.is_test_attribute() {
            return self.skip_item();
        }
        match &self.tokens[self.at] {
            Token::Sign('{') => self.depth += 1,
            Token::Sign('}') => self.close(),
            Token::Sign(_) | Token::PathSeparator => {}
            Token::Word(word) => return self.take_word(word),
        }
        self.at += 1;
    }

    fn close(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        if self.open.len() > 1 && self.open.last().is_some_and(|open| open.depth > self.depth) {
            self.open.pop();
        }
    }

    /// Says whether `#[cfg(test)]` stands here.
    fn is_test_attribute(&self) -> bool {
        self.is(0, '#')
            && self.is(1, '[')
            && self.word(2) == Some("cfg")
            && self.is(3, '(')
            && self.word(4) == Some("test")
            && self.is(5, ')')
    }

    /// Skips an item and its attributes: up to a semicolon or to the end of its braces.
    fn skip_item(&mut self) {
        let mut depth = 0;
        while let Some(token) = self.tokens.get(self.at) {
            self.at += 1;
            match token {
                Token::Sign('{' | '(' | '[') => depth += 1,
                Token::Sign(')' | ']') => depth -= 1,
                Token::Sign('}') if depth == 1 => return,
                Token::Sign('}') => depth -= 1,
                Token::Sign(';') if depth == 0 => return,
                Token::Sign(_) | Token::PathSeparator | Token::Word(_) => {}
            }
        }
    }

    fn take_word(&mut self, word: &str) {
        let is_at_top = self.open.last().is_some_and(|open| open.depth == self.depth);
        match (word, self.word(1)) {
            // `use<'a>` in a bound imports nothing.
            ("use", _) if !self.is(1, '<') => return self.take_use(),
            ("mod", Some(name)) if self.is(2, ';') => {
                let inside = self.open.last().expect("the file's own module is never closed").id;
                self.files.push((inside, name.to_owned()));
                self.at += 3;
                return;
            }
            ("mod", Some(name)) if self.is(2, '{') => return self.open_module(name),
            ("struct" | "enum" | "union" | "trait" | "type" | "const" | "static" | "fn", Some(name))
                if is_at_top =>
            {
                self.module().items.insert(name.to_owned());
            }
            ("macro_rules", _) => {
                if let Some(name) = self.word(2) {
                    let file = self.module().file.clone();
                    self.modules.macros.insert(name.to_owned(), file);
                }
            }
            _ => {}
        }
        self.take_path();
    }

    fn open_module(&mut self, name: &str) {
        let parent = self.open.last().expect("the file's own module is never closed").id;
        let file = self.modules.all[parent].file.clone();
        let id = self.modules.add(&file, Some(parent));
        self.modules.all[parent].children.insert(name.to_owned(), id);
        self.depth += 1;
        self.open.push(Open { id, depth: self.depth });
        self.at += 3;
    }

    /// Reads a path in the code; a single word is none.
    fn take_path(&mut self) {
        // What follows a dot or a separator is a part of what was read.
        let is_first = self.at == 0
            || !(self.tokens[self.at - 1].is('.') || self.tokens[self.at - 1] == Token::PathSeparator);
        let mut names = Names::new();
        while let Some(word) = self.word(0) {
            names.push(word.to_owned());
            self.at += 1;
            if self.tokens.get(self.at) != Some(&Token::PathSeparator) || self.word(1).is_none() {
                break;
            }
            self.at += 1;
        }
        if is_first && names.len() > 1 {
            self.module().paths.push(names);
        }
    }

    fn take_use(&mut self) {
        self.at += 1;
        self.take_tree(&Names::new());
    }

    /// Reads a tree of imports behind the names that lead to it.
    fn take_tree(&mut self, before: &Names) {
        let mut names = before.clone();
        loop {
            match self.tokens.get(self.at) {
                Some(Token::Word(word)) => {
                    // `a::{self}` is `a`.
                    if word != "self" || names.is_empty() {
                        names.push(word.clone());
                    }
                }
                Some(Token::Sign('*')) => {
                    self.at += 1;
                    return self.module().globs.push(names);
                }
                Some(Token::Sign('{')) => return self.take_branches(&names),
                Some(Token::PathSeparator) => {}
                Some(Token::Sign(_)) | None => return,
            }
            self.at += 1;
            if self.word(0) == Some("as") {
                let name = self.word(1).unwrap_or("_").to_owned();
                self.at += 2;
                return self.module().imports.push((name, names));
            }
            if self.is(0, ',') || self.is(0, ';') || self.is(0, '}') {
                let name = names.last().cloned().unwrap_or_default();
                return self.module().imports.push((name, names));
            }
        }
    }

    fn take_branches(&mut self, names: &Names) {
        self.at += 1;
        while self.at < self.tokens.len() && !self.is(0, '}') {
            if self.is(0, ',') {
                self.at += 1;
                continue;
            }
            self.take_tree(names);
        }
        self.at += 1;
    }
}
