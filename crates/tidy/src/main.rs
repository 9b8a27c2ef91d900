//! `claviger-tidy uses SOURCE...`: which file of a crate uses which, and which crates of ours.
//! `claviger-tidy circles MAX SOURCE...`: circles of more than so many files, each with its arrows.
//!
//! A SOURCE is the folder of a crate's sources, as `crates/gdoi/src`.

use std::{
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

use claviger_tidy::{
    circle,
    uses::{Target, Uses},
};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["uses", sources @ ..] => sources.iter().try_for_each(|source| print_uses(source)),
        ["circles", most, sources @ ..] => match most.parse() {
            Ok(most) => sources.iter().try_for_each(|source| print_circles(source, most)),
            Err(_) => return usage(),
        },
        _ => return usage(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("claviger-tidy: {error}");
            ExitCode::FAILURE
        }
    }
}

fn usage() -> ExitCode {
    eprintln!("usage: claviger-tidy uses SOURCE... | circles MAX SOURCE...");
    ExitCode::from(2)
}

fn read(source: &str) -> io::Result<Uses> {
    Uses::of_crate(Path::new(source))
        .map_err(|error| io::Error::new(error.kind(), format!("{source}: {error}")))
}

/// Prints a line for each use: the file, the file or crate that it uses, and a path that says so.
fn print_uses(source: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for ((file, target), name) in &read(source)?.0 {
        match target {
            Target::File(used) => writeln!(out, "{} {} {name}", file.display(), used.display())?,
            Target::Crate(used) => writeln!(out, "{} {used} {name}", file.display())?,
        }
    }
    Ok(())
}

fn print_circles(source: &str, most: usize) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let uses = read(source)?;
    for circle in circle::circles(&uses).iter().filter(|circle| circle.len() > most) {
        writeln!(out, "{source}: {} files use each other in a circle", circle.len())?;
        for ((file, target), name) in &uses.0 {
            match target {
                Target::File(used) if circle.contains(file.as_path()) && circle.contains(used.as_path()) => {
                    writeln!(out, "  {} -> {} by {name}", file.display(), used.display())?;
                }
                Target::File(_) | Target::Crate(_) => {}
            }
        }
    }
    Ok(())
}
