//! Programs that tests start: their output is kept for whoever reads a failure, and none outlives its test.

use std::{
    env,
    ffi::OsString,
    fmt::{self, Write},
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{self, Signal},
    unistd::Pid,
};

use crate::netns::Namespace;

/// How long a command may take that is expected to end by itself; a busy host needs much less.
pub const COMMAND_PATIENCE: Duration = Duration::from_secs(20);

/// How often a condition is looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Octets of a program's output that a failure shows of each stream: the end, where the reason stands.
const TAIL_LEN: usize = 16 * 1024;

/// Milliseconds of a tick in which Linux tells programs of CPU time (USER_HZ is 100).
const TICK_MS: u64 = 10;

/// Waits until a condition yields a value.
///
/// # Panics
///
/// With `what`, if `limit` passes before.
pub fn eventually<T>(what: &str, limit: Duration, condition: impl FnMut() -> Option<T>) -> T {
    within(limit, condition).unwrap_or_else(|| panic!("not within {limit:?}: {what}"))
}

/// Waits until a condition yields a value, or until `limit` has passed.
#[expect(clippy::disallowed_methods, reason = "a test waits for programs that run by the real clock")]
pub fn within<T>(limit: Duration, mut condition: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        // The clock is read first, so that a condition is looked at once more after a pause of this process.
        let late = start.elapsed() >= limit;
        if let Some(value) = condition() {
            return Some(value);
        }
        if late {
            return None;
        }
        thread::sleep(POLL_INTERVAL);
    }
}

/// What has been run, and where its output is.
#[derive(Clone)]
pub(crate) struct Journal {
    directory: PathBuf,
    entries: Arc<Mutex<Vec<Entry>>>,
    count: Arc<AtomicUsize>,
}

struct Entry {
    line: String,
    output: PathBuf,
    errors: PathBuf,
    ended: Arc<Mutex<Option<ExitStatus>>>,
}

impl Journal {
    /// Keeps outputs in files of a directory.
    pub(crate) fn new(directory: &Path) -> Self {
        Self { directory: directory.into(), entries: Arc::default(), count: Arc::default() }
    }

    /// Writes out every program's command line, its end and its output, in the order of their starts. Of programs
    /// that were run again and again, as to wait for something, the last one stands for all.
    pub(crate) fn report(&self) -> String {
        let mut text = String::new();
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        for (position, entry) in entries.iter().enumerate() {
            if entries[position + 1..].iter().any(|later| later.line == entry.line) {
                continue;
            }
            let ended = *entry.ended.lock().unwrap_or_else(PoisonError::into_inner);
            let ended = ended.map_or("was still running".to_owned(), |status| status.to_string());
            let _ = writeln!(text, "--- {}: {ended}", entry.line);
            for (stream, path) in [("stdout", &entry.output), ("stderr", &entry.errors)] {
                let kept = fs::read(path).unwrap_or_default();
                if !kept.is_empty() {
                    let tail = &kept[kept.len().saturating_sub(TAIL_LEN)..];
                    let _ = writeln!(text, "[{stream}]\n{}", String::from_utf8_lossy(tail).trim_end());
                }
            }
        }
        text
    }

    /// Starts a program in a namespace.
    pub(crate) fn start(
        &self,
        place: &str,
        namespace: &Namespace,
        command: &mut Command,
        input: &[u8],
    ) -> Running {
        command.stdin(if input.is_empty() { Stdio::null() } else { Stdio::piped() });
        let (running, stdin) = self.spawn(place, namespace, command);
        if let Some(mut stdin) = stdin {
            // A program that ends without reading all says why by itself.
            let _ = stdin.write_all(input);
        }
        running
    }

    /// Starts a program in a namespace, and returns the end of the pipe that its standard input is, if it is one.
    pub(crate) fn spawn(
        &self,
        place: &str,
        namespace: &Namespace,
        command: &mut Command,
    ) -> (Running, Option<ChildStdin>) {
        let words: Vec<_> = std::iter::once(command.get_program()).chain(command.get_args()).collect();
        let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
        let line = format!("{place}: {}", words.join(" "));
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let [output, errors] =
            ["out", "err"].map(|stream| self.directory.join(format!("{number:03}.{stream}")));
        let create = |path| File::create(path).expect("the test's own directory is writable");
        command.stdout(create(&output)).stderr(create(&errors));
        command.env("PATH", search_path());
        let spawned = namespace.enter(|| command.spawn());
        let mut child = spawned.unwrap_or_else(|error| panic!("{line}: cannot start: {error}"));
        let stdin = child.stdin.take();
        let ended = Arc::default();
        let entry = Entry {
            line: line.clone(),
            output: output.clone(),
            errors: errors.clone(),
            ended: Arc::clone(&ended),
        };
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
        (Running { line, child, output, errors, ended }, stdin)
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").field("directory", &self.directory).finish_non_exhaustive()
    }
}

/// A program that runs. It is killed when this is dropped.
#[derive(Debug)]
pub struct Running {
    line: String,
    child: Child,
    output: PathBuf,
    errors: PathBuf,
    ended: Arc<Mutex<Option<ExitStatus>>>,
}

impl Running {
    /// Sends a signal, unless the program has ended.
    pub fn signal(&mut self, signal: Signal) {
        if self.poll().is_none() {
            // The process is ours and not yet waited for, so its number names it.
            let _ = signal::kill(self.pid(), signal);
        }
    }

    /// Waits until the program ends.
    ///
    /// # Panics
    ///
    /// If it does not within `limit`.
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        let line = self.line.clone();
        eventually(&format!("the end of {line}"), limit, || self.poll())
    }

    /// Says how the program ended, if it has.
    pub fn poll(&mut self) -> Option<ExitStatus> {
        let status = self.child.try_wait().expect("an own child can be waited for");
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner) = status;
        status
    }

    /// Reads what it has written to standard output so far.
    pub fn output(&self) -> String {
        read(&self.output)
    }

    /// Reads what it has written to standard error so far.
    pub fn errors(&self) -> String {
        read(&self.errors)
    }

    /// The process.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).expect("Linux numbers processes by positive i32"))
    }

    /// Says how much CPU time it has used so far, in itself and in the system for it.
    ///
    /// # Panics
    ///
    /// If it has ended.
    pub fn cpu_time(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()));
        cpu_time(&stat.expect("a program that runs is in /proc")).expect("Linux counts ticks")
    }

    /// Says how many octets it has written to files and pipes so far; what sockets send is not among them.
    ///
    /// # Panics
    ///
    /// If it has ended.
    pub fn octets_written(&self) -> u64 {
        let io = fs::read_to_string(format!("/proc/{}/io", self.child.id()));
        let io = io.expect("a program that runs is in /proc");
        let written = io.lines().find_map(|line| line.strip_prefix("wchar: "));
        written.and_then(|octets| octets.parse().ok()).expect("Linux counts octets")
    }

    /// Waits for the end of a program that is expected to end by itself, and collects what it wrote.
    pub(crate) fn finish(mut self) -> Finished {
        let status = self.wait(COMMAND_PATIENCE);
        Finished { line: self.line.clone(), status, output: self.output(), errors: self.errors() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.poll().is_none() && self.child.kill().is_ok() {
            // Only so that no zombie stays; there is nobody to tell.
            let _: io::Result<_> = self.child.wait();
        }
    }
}

/// A program that has ended.
#[derive(Debug, Clone)]
pub struct Finished {
    line: String,
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to standard output.
    pub output: String,
    /// What it wrote to standard error.
    pub errors: String,
}

impl Finished {
    /// Takes standard output of a program that succeeded.
    ///
    /// # Panics
    ///
    /// If it failed, with what it wrote.
    pub fn success(self) -> String {
        let Self { line, status, output, errors } = self;
        assert!(status.success(), "{line}: {status}\n{output}\n{errors}");
        output
    }

    /// Takes standard output of a program if it succeeded.
    pub fn output_if_successful(self) -> Option<String> {
        self.status.success().then_some(self.output)
    }

    /// Takes the exit code and standard error of a program that failed.
    ///
    /// # Panics
    ///
    /// If it succeeded, or was killed by a signal.
    pub fn failure(self) -> (i32, String) {
        let Self { line, status, output, errors } = self;
        match status.code() {
            Some(code) if code != 0 => (code, errors),
            _ => panic!("{line}: {status}, but a failure was expected\n{output}\n{errors}"),
        }
    }
}

/// Where programs are looked for: other users than root do not have the administrator's directories in their path.
pub(crate) fn search_path() -> OsString {
    let mut path = env::var_os("PATH").unwrap_or_default();
    path.push(":/usr/sbin:/sbin");
    path
}

/// Reads the user and system time in `/proc/PID/stat`: fields 14 and 15, of which the second, the name, may contain
/// spaces and parentheses.
fn cpu_time(stat: &str) -> Option<Duration> {
    let behind_name = stat.rsplit_once(')')?.1;
    let mut fields = behind_name.split_whitespace().skip(14 - 3);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    Some(Duration::from_millis((ticks()? + ticks()?) * TICK_MS))
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_cpu_time_of_a_program_with_any_name() {
        let stat = "7 (a) b) c) S 1 7 7 0 -1 4194560 100 0 0 0 150 25 3 4 20 0 1 0 100 0 0";
        assert_eq!(cpu_time(stat), Some(Duration::from_millis(1_750)));
        assert_eq!(cpu_time("7 (a) S 1"), None);
    }
}
