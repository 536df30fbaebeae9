//! The place of this process among the ranks, as the program that started it says.

use std::path::PathBuf;

use crate::error::{Error, Result};

/// The variable by which a launcher on one machine names the file through which its ranks find each other.
const STORE: &str = "GRADES_STORE";

/// The place of this process among all ranks of a run, and where they find each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ranks {
    /// The number of this process, from 0.
    pub rank: usize,
    /// The number of ranks.
    pub world: usize,
    /// The number of this process among those on its machine, from 0: the CUDA device that is its own.
    pub local_rank: usize,
    /// Where the ranks find each other.
    pub rendezvous: Rendezvous,
}

/// Where ranks find each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rendezvous {
    /// A file that does not exist yet, on a file system that all ranks see. No port is opened.
    File(PathBuf),
    /// A server. c10d's listens on all interfaces and asks for no password: for trusted networks.
    Server {
        /// The name or address of its machine.
        host: String,
        /// Its port.
        port: u16,
        /// Whether rank 0 is the server; torchrun's agent has one of its own.
        by_rank_0: bool,
        /// The attempt, after torchrun restarted the ranks: each needs keys of its own.
        attempt: u64,
    },
}

/// A program that starts ranks, by the variables that it sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Launcher {
    /// torchrun, and all who set its variables: `RANK`, `WORLD_SIZE`, `LOCAL_RANK`, `MASTER_ADDR`, `MASTER_PORT`.
    Torchrun,
    /// SLURM's srun: `SLURM_PROCID`, `SLURM_NTASKS`, `SLURM_LOCALID`; `MASTER_ADDR` and `MASTER_PORT` must be given.
    Slurm,
    /// Open MPI's mpirun: `OMPI_COMM_WORLD_RANK`, `_SIZE`, `_LOCAL_RANK`; `MASTER_ADDR` and `MASTER_PORT` must be given.
    Mpi,
}

impl Launcher {
    /// Returns the names of rank, number of ranks and local rank.
    fn names(self) -> [&'static str; 3] {
        match self {
            Self::Torchrun => ["RANK", "WORLD_SIZE", "LOCAL_RANK"],
            Self::Slurm => ["SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID"],
            Self::Mpi => ["OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"],
        }
    }
}

impl Ranks {
    /// Reads torchrun's variables; `None` outside of a launcher.
    ///
    /// SLURM and MPI set theirs in places where one process is meant to run, such as a shell of `salloc`, so they count
    /// only when asked for: [`from_launcher`](Self::from_launcher).
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] that names the variable which is missing or out of range.
    pub fn from_env() -> Result<Option<Self>> {
        let variable = |name: &str| std::env::var(name).ok();
        let names = Launcher::Torchrun.names();
        if names.iter().all(|name| variable(name).is_none()) {
            return Ok(None);
        }
        Self::read(Launcher::Torchrun, variable).map(Some)
    }

    /// Reads the variables of one launcher.
    ///
    /// # Errors
    ///
    /// As [`from_env`](Self::from_env).
    pub fn from_launcher(launcher: Launcher) -> Result<Self> {
        Self::read(launcher, |name| std::env::var(name).ok())
    }

    /// Reads the variables of one launcher from anywhere.
    ///
    /// ```
    /// use grades::distributed::{Launcher, Ranks};
    ///
    /// let set = [("RANK", "1"), ("WORLD_SIZE", "2"), ("LOCAL_RANK", "1"), ("MASTER_ADDR", "node-0")];
    /// let read = |name: &str| set.iter().find(|(set, _)| *set == name).map(|(_, value)| (*value).to_owned());
    /// let error = Ranks::read(Launcher::Torchrun, read).unwrap_err().to_string();
    /// assert!(error.starts_with("MASTER_PORT: expected a port"), "{error}");
    /// ```
    ///
    /// # Errors
    ///
    /// As [`from_env`](Self::from_env).
    pub fn read(launcher: Launcher, variable: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let [rank, world, local] = launcher.names();
        let number = |name: &'static str, expected: &'static str, range: std::ops::Range<u64>| {
            let found = variable(name);
            let value = found.as_deref().and_then(|text| text.parse().ok());
            value.filter(|value| range.contains(value)).ok_or_else(|| {
                let found =
                    found.map_or_else(|| "nothing: it is not set".to_owned(), |found| format!("\"{found}\""));
                Error::invalid_argument(name, expected, found)
            })
        };
        let world = number(world, "a number of processes from 1 to 65536", 1..65_537)?;
        let rank = number(rank, "a number from 0 to the number of processes minus 1", 0..world)?;
        let local_rank = number(local, "the number of this process on its machine", 0..world)?;
        let rendezvous = match variable(STORE) {
            Some(file) => Rendezvous::File(PathBuf::from(file)),
            None => {
                let host = variable("MASTER_ADDR").ok_or_else(|| {
                    let expected = "the address of the machine with rank 0";
                    Error::invalid_argument("MASTER_ADDR", expected, "nothing: it is not set")
                })?;
                let port = number("MASTER_PORT", "a port from 1 to 65535", 1..65_536)? as u16;
                let by_agent = variable("TORCHELASTIC_USE_AGENT_STORE").as_deref() == Some("True");
                let attempt = match by_agent {
                    true => number("TORCHELASTIC_RESTART_COUNT", "a number of restarts", 0..u64::MAX)?,
                    false => 0,
                };
                Rendezvous::Server { host, port, by_rank_0: !by_agent, attempt }
            }
        };
        let [rank, world, local_rank] = [rank, world, local_rank].map(|number| number as usize);
        Ok(Self { rank, world, local_rank, rendezvous })
    }
}
