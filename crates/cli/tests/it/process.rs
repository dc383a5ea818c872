//! Running programs, watched from outside: how far they are, how much memory they take, killed or stopped in the middle.

use std::{
    fs::File,
    io::{Read as _, Seek as _},
    os::fd::OwnedFd,
    process::{Child, Command, ExitStatus},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, kill_process, pidfd_open, waitid},
};

use crate::sandbox::Run;

/// Time between two looks, unless the program ends before.
const LOOK_NANOSECONDS: i64 = 2_000_000;

/// Most looks; about fifteen minutes.
const MAX_LOOKS: u32 = 450_000;

/// A program that runs. Its output goes to files, so that nobody has to read it while it runs.
#[derive(Debug)]
pub(crate) struct Watched {
    child: Child,
    ends: OwnedFd,
    command: String,
    stdout: File,
    stderr: File,
}

/// What a run took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    /// Most memory in bytes.
    pub(crate) peak_memory: u64,
}

impl Watched {
    /// Starts the command.
    pub(crate) fn start(mut command: Command) -> Self {
        let (stdout, stderr) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        command.stdout(stdout.try_clone().unwrap()).stderr(stderr.try_clone().unwrap());
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let shown =
            words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ");
        let child = command.spawn().unwrap_or_else(|error| panic!("cannot start {shown}: {error}"));
        let ends = pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).unwrap();
        Self { child, ends, command: shown, stdout, stderr }
    }

    /// Returns its process number.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Takes the writing end of its standard input, if it was piped.
    pub(crate) fn input(&mut self) -> std::process::ChildStdin {
        self.child.stdin.take().expect("standard input was piped")
    }

    /// Returns what it has written to standard output so far.
    pub(crate) fn written(&self) -> String {
        use std::os::unix::fs::FileExt as _;
        let length = self.stdout.metadata().unwrap().len();
        let mut bytes = vec![0; usize::try_from(length).unwrap()];
        self.stdout.read_exact_at(&mut bytes, 0).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    /// Waits until it has written this to standard output; false when it ended before.
    pub(crate) fn has_written(&mut self, text: &str) -> bool {
        for _ in 0..MAX_LOOKS {
            if self.written().contains(text) {
                return true;
            }
            if !self.goes_on() {
                return false;
            }
        }
        self.signal(Signal::KILL);
        panic!("{} did not write {text:?}", self.command);
    }

    /// Waits for a moment; false when it has ended.
    fn goes_on(&self) -> bool {
        let pause = Timespec { tv_sec: 0, tv_nsec: LOOK_NANOSECONDS };
        poll(&mut [PollFd::new(&self.ends, PollFlags::IN)], Some(&pause)).unwrap() == 0
    }

    /// Looks again and again until `seen` is true, or the program has ended. Returns whether it was seen.
    pub(crate) fn until(&mut self, mut seen: impl FnMut() -> bool) -> bool {
        for _ in 0..MAX_LOOKS {
            if seen() {
                return true;
            }
            if !self.goes_on() {
                return false;
            }
        }
        self.signal(Signal::KILL);
        panic!("{} did not come to what was waited for", self.command);
    }

    /// Kills it as `kill -9` does. Returns false when it had ended before.
    pub(crate) fn kill(mut self) -> bool {
        self.signal(Signal::KILL);
        self.child.wait().unwrap().code().is_none()
    }

    /// Stops it where it is, until [`Watched::go_on`].
    pub(crate) fn stop(&self) {
        self.signal(Signal::STOP);
        let options = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        waitid(WaitId::Pid(Pid::from_child(&self.child)), options).unwrap();
    }

    /// Lets it go on after [`Watched::stop`].
    pub(crate) fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for its end.
    pub(crate) fn finish(mut self) -> Run {
        let status = self.child.wait().unwrap();
        self.ended(status)
    }

    /// Waits for its end and tells how many bytes it read and wrote through system calls.
    pub(crate) fn finish_with_traffic(self) -> (Run, Traffic) {
        // Dead but not buried: its counters can still be read.
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        waitid(WaitId::Pid(Pid::from_child(&self.child)), options).unwrap();
        let text = std::fs::read_to_string(format!("/proc/{}/io", self.id())).unwrap();
        let count = |name: &str| {
            let line =
                text.lines().find_map(|line| line.strip_prefix(name)).expect("a line per counter");
            line.trim().parse().unwrap()
        };
        let traffic = Traffic { read: count("rchar:"), written: count("wchar:") };
        (self.finish(), traffic)
    }

    /// Waits for its end and tells what it took.
    pub(crate) fn finish_with_usage(mut self) -> (Run, Usage) {
        let status = format!("/proc/{}/status", self.id());
        let mut peak_kib = 0;
        self.until(|| {
            // The system keeps the peak, so only what is allocated in the very last moment can be missed.
            let text = std::fs::read_to_string(&status).unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let seen = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
            peak_kib = seen.unwrap_or(0).max(peak_kib);
            false
        });
        assert!(peak_kib > 0, "{} ended before its memory was seen", self.command);
        (self.finish(), Usage { peak_memory: peak_kib * 1024 })
    }

    fn ended(self, status: ExitStatus) -> Run {
        let read = |mut file: &File| {
            let mut bytes = Vec::new();
            file.rewind().unwrap();
            file.read_to_end(&mut bytes).unwrap();
            bytes
        };
        let stderr = String::from_utf8_lossy(&read(&self.stderr)).into_owned();
        Run { command: self.command, code: status.code(), stdout: read(&self.stdout), stderr }
    }
}

/// Bytes that passed through system calls of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Traffic {
    /// Bytes read.
    pub(crate) read: u64,
    /// Bytes written.
    pub(crate) written: u64,
}
