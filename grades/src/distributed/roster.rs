//! The ranks of a group by name: who came, and who is gone.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use super::ranks::{Ranks, Rendezvous};
use crate::torch::c10d::{Outcome, Place, Store};

/// The time that the others have to report a failure that one rank saw.
const PATIENCE: Duration = Duration::from_secs(2);

/// The time between two reads of the store.
const PAUSE: Duration = Duration::from_millis(20);

/// The ranks of a group, and the store through which they find each other.
#[derive(Debug)]
pub(super) struct Roster {
    store: Store,
    rank: usize,
    members: Vec<Member>,
    /// Whether the store ends with rank 0.
    by_rank_0: bool,
}

/// One rank, as it presented itself.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Member {
    host: String,
    pid: u32,
    version: String,
}

impl Roster {
    /// Opens the store and waits until all ranks are there, or says which are not.
    pub(super) fn meet(ranks: &Ranks, version: &str, timeout: Duration) -> Result<Self, String> {
        let begun = Instant::now();
        let store = open(ranks, timeout)?;
        let this = Member { host: host_name(), pid: std::process::id(), version: version.replace('\n', " ") };
        let unusable = |message: String| format!("the store of {} fails: {message}", place(ranks));
        store.set(&member_key(ranks.rank), &this.to_text()).map_err(unusable)?;
        let mut members = Vec::with_capacity(ranks.world);
        for rank in 0..ranks.world {
            let key = member_key(rank);
            let left = timeout.saturating_sub(begun.elapsed()).max(PAUSE);
            let found = store.set_timeout(left).and_then(|()| store.get(&key));
            let Ok(text) = found else { return Err(absent(&store, ranks, timeout)) };
            members.push(Member::parse(&text).ok_or_else(|| unusable(format!("{key} is {text:?}")))?);
        }
        store.set_timeout(PATIENCE).map_err(unusable)?;
        let by_rank_0 = matches!(ranks.rendezvous, Rendezvous::Server { by_rank_0: true, .. });
        let roster = Self { store, rank: ranks.rank, members, by_rank_0 };
        roster.check_versions()?;
        Ok(roster)
    }

    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    /// Returns the number of ranks.
    pub(super) fn world(&self) -> usize {
        self.members.len()
    }

    /// Leaves a note for those who wait for this rank.
    pub(super) fn leave(&self) {
        // Where the store is gone nobody reads it.
        let _ = self.store.set(&left_key(self.rank), "left");
    }

    /// Finds out which rank caused a failure, once the others had time to report that they saw it too.
    pub(super) fn explain(&self, message: &str) -> String {
        let gone = |rank: usize, fate: &str| format!("{} {fate}", self.name(rank));
        if self.store.set(&failed_key(self.rank), "failed").is_err() {
            return self.without_store(message);
        }
        let until = Instant::now() + PATIENCE;
        let mut open: Vec<usize> = (0..self.world()).filter(|rank| *rank != self.rank).collect();
        let mut left = Vec::new();
        loop {
            let mut silent = Vec::new();
            for rank in open {
                match self.report_of(rank) {
                    Err(_) => return self.without_store(message),
                    Ok(Report::Failed) => {}
                    Ok(Report::Left) => left.push(rank),
                    Ok(Report::Nothing) => silent.push(rank),
                }
            }
            open = silent;
            let over = Instant::now() >= until;
            // A process of this machine that is gone needs no patience.
            let fates: Vec<(usize, Option<&str>)> =
                open.iter().map(|rank| (*rank, self.fate(*rank))).collect();
            let dead: Vec<String> =
                fates.iter().filter_map(|(rank, fate)| Some(gone(*rank, (*fate)?))).collect();
            if !dead.is_empty() {
                return dead.join(", ");
            }
            if open.is_empty() || over {
                break;
            }
            std::thread::sleep(PAUSE);
        }
        if let [rank] = open.as_slice() {
            return gone(*rank, "does not answer");
        }
        if !open.is_empty() {
            let names: Vec<String> = open.iter().map(|rank| self.name(*rank)).collect();
            return format!("one of these does not answer: {}", names.join(", "));
        }
        match left.is_empty() {
            false => left.iter().map(|rank| gone(*rank, "has left the group")).collect::<Vec<_>>().join(", "),
            true => format!("all ranks are there, and c10d says: {message}"),
        }
    }

    /// Says which rank a failure of the store means.
    fn without_store(&self, message: &str) -> String {
        match self.by_rank_0 && self.rank != 0 {
            true => format!("{} is gone, with the store of the group", self.name(0)),
            false => format!("the store of the group is gone, and c10d says: {message}"),
        }
    }

    fn report_of(&self, rank: usize) -> Outcome<Report> {
        if self.store.has(&failed_key(rank))? {
            return Ok(Report::Failed);
        }
        Ok(if self.store.has(&left_key(rank))? { Report::Left } else { Report::Nothing })
    }

    /// Returns what happened to a rank on this machine; `None` for one that runs, or on another machine.
    fn fate(&self, rank: usize) -> Option<&'static str> {
        let member = self.members.get(rank)?;
        if member.host != self.members.get(self.rank)?.host {
            return None;
        }
        let Ok(text) = std::fs::read_to_string(format!("/proc/{}/stat", member.pid)) else {
            return Some("has ended");
        };
        // The state is behind the program's name, which is in parentheses and may have some itself.
        match text.rsplit(')').next()?.trim_start().chars().next()? {
            'Z' | 'X' => Some("has ended"),
            'T' | 't' => Some("is stopped"),
            _ => None,
        }
    }

    fn name(&self, rank: usize) -> String {
        match self.members.get(rank) {
            Some(member) => format!("rank {rank} ({}, process {})", member.host, member.pid),
            None => format!("rank {rank}"),
        }
    }

    fn check_versions(&self) -> Result<(), String> {
        let Some(first) = self.members.first() else { return Ok(()) };
        let other = self.members.iter().position(|member| member.version != first.version);
        other.map_or(Ok(()), |rank| {
            let found = &self.members[rank].version;
            Err(format!("{} has {found}, and {} has {}", self.name(rank), self.name(0), first.version))
        })
    }
}

/// A rank's report after a failure.
enum Report {
    /// It saw a failure too.
    Failed,
    Left,
    Nothing,
}

impl Member {
    fn to_text(&self) -> String {
        format!("{}\n{}\n{}", self.pid, self.host, self.version)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let pid = lines.next()?.parse().ok()?;
        Some(Self { pid, host: lines.next()?.to_owned(), version: lines.next()?.to_owned() })
    }
}

fn member_key(rank: usize) -> String {
    format!("rank/{rank}")
}

fn failed_key(rank: usize) -> String {
    format!("failed/{rank}")
}

fn left_key(rank: usize) -> String {
    format!("left/{rank}")
}

fn open(ranks: &Ranks, timeout: Duration) -> Result<Store, String> {
    let (at, attempt) = match &ranks.rendezvous {
        Rendezvous::File(path) => (Place::File(path), 0),
        Rendezvous::Server { host, port, by_rank_0, attempt } => {
            let serves = *by_rank_0 && ranks.rank == 0;
            (Place::Server { host, port: *port, serves }, *attempt)
        }
    };
    Store::open(at, &format!("grades/{attempt}"), ranks.world, timeout).map_err(|message| {
        format!("{} cannot be reached: {}", place(ranks), crate::error::first_line(message))
    })
}

fn place(ranks: &Ranks) -> String {
    match &ranks.rendezvous {
        Rendezvous::File(path) => path.display().to_string(),
        Rendezvous::Server { host, port, .. } => format!("{host}:{port}"),
    }
}

/// Names the ranks that have not come.
fn absent(store: &Store, ranks: &Ranks, timeout: Duration) -> String {
    let _ = store.set_timeout(PATIENCE);
    let here = |rank: &usize| store.has(&member_key(*rank)).unwrap_or(false);
    let absent: Vec<String> =
        (0..ranks.world).filter(|rank| !here(rank)).map(|rank| rank.to_string()).collect();
    let mut text = format!("after {:.0} s", timeout.as_secs_f64());
    let _ = match absent.as_slice() {
        [] => write!(text, " the store of {} does not answer", place(ranks)),
        [one] => write!(text, " rank {one} of {} has not come", ranks.world),
        many => write!(text, " the ranks {} of {} have not come", many.join(", "), ranks.world),
    };
    text
}

fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "unknown host".to_owned() } else { name.to_owned() }
}
