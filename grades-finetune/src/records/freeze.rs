//! `freezes.jsonl`: a [`FreezeEvent`](grades::tracker::FreezeEvent) a line.

/// The file's name in a run's folder.
pub const FREEZES: &str = "freezes.jsonl";
