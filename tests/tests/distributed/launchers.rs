//! Programs that start ranks: the variables that they set, and torchrun itself.

use std::path::{Path, PathBuf};
use std::process::Command;

use grades::distributed::{Launcher, Ranks, Rendezvous};

use crate::name;
use crate::processes::{RESULTS, Start, join, run, signal};

fn read(launcher: Launcher, variables: &[(&str, &str)]) -> grades::Result<Ranks> {
    Ranks::read(launcher, |name| {
        variables.iter().find(|(set, _)| *set == name).map(|(_, value)| (*value).to_owned())
    })
}

const TORCHRUN: [(&str, &str); 5] = [
    ("RANK", "3"),
    ("WORLD_SIZE", "4"),
    ("LOCAL_RANK", "1"),
    ("MASTER_ADDR", "node-0"),
    ("MASTER_PORT", "29500"),
];

#[test]
fn variables_of_launchers_are_read() {
    let server = |by_rank_0, attempt| Rendezvous::Server {
        host: "node-0".to_owned(),
        port: 29_500,
        by_rank_0,
        attempt,
    };
    let ranks = |rendezvous| Ranks { rank: 3, world: 4, local_rank: 1, rendezvous };
    assert_eq!(read(Launcher::Torchrun, &TORCHRUN).unwrap(), ranks(server(true, 0)));
    let agent = [("TORCHELASTIC_USE_AGENT_STORE", "True"), ("TORCHELASTIC_RESTART_COUNT", "2")];
    let found = read(Launcher::Torchrun, &[&TORCHRUN[..], &agent].concat()).unwrap();
    assert_eq!(found, ranks(server(false, 2)));
    let found =
        read(Launcher::Torchrun, &[&TORCHRUN[..3], &[("GRADES_STORE", "/a/store")]].concat()).unwrap();
    assert_eq!(found, ranks(Rendezvous::File(PathBuf::from("/a/store"))));
    let slurm = [("SLURM_PROCID", "3"), ("SLURM_NTASKS", "4"), ("SLURM_LOCALID", "1")];
    let found = read(Launcher::Slurm, &[&slurm[..], &TORCHRUN[3..]].concat()).unwrap();
    assert_eq!(found, ranks(server(true, 0)));
    let mpi = ["RANK", "SIZE", "LOCAL_RANK"].map(|name| format!("OMPI_COMM_WORLD_{name}"));
    let mpi: Vec<(&str, &str)> = mpi.iter().map(String::as_str).zip(["3", "4", "1"]).collect();
    assert_eq!(read(Launcher::Mpi, &[&mpi, &TORCHRUN[3..]].concat()).unwrap(), ranks(server(true, 0)));
}

#[test]
fn a_variable_that_is_missing_or_out_of_range_is_named() {
    for (index, expected) in [
        (
            0,
            "RANK: expected a number from 0 to the number of processes minus 1, found nothing: it is not set",
        ),
        (1, "WORLD_SIZE: expected a number of processes from 1 to 65536, found nothing: it is not set"),
        (2, "LOCAL_RANK: expected the number of this process on its machine, found nothing: it is not set"),
        (3, "MASTER_ADDR: expected the address of the machine with rank 0, found nothing: it is not set"),
        (4, "MASTER_PORT: expected a port from 1 to 65535, found nothing: it is not set"),
    ] {
        let mut variables = TORCHRUN.to_vec();
        variables.remove(index);
        assert_eq!(read(Launcher::Torchrun, &variables).unwrap_err().to_string(), expected);
    }
    for (index, value) in [(0, "4"), (0, "-1"), (1, "0"), (1, "two"), (2, "4"), (4, "0"), (4, "70000")] {
        let mut variables = TORCHRUN.to_vec();
        variables[index].1 = value;
        let error = read(Launcher::Torchrun, &variables).unwrap_err().to_string();
        let name = variables[index].0;
        assert!(error.starts_with(name) && error.ends_with(&format!("found \"{value}\"")), "{error}");
    }
}

/// torchrun starts the ranks again after one was killed; each attempt has keys of its own in the agent's store.
#[test]
fn torchrun_starts_and_restarts_ranks() {
    let test = name!();
    if std::env::var_os(RESULTS).is_none() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let torchrun = root.join(".venv/bin/torchrun");
        if !torchrun.exists() || std::env::var_os("GRADES_SKIP_INTEROP").is_some() {
            return;
        }
        let results = tempfile::tempdir().unwrap();
        let output = Command::new(torchrun)
            .args(["--standalone", "--nproc-per-node", "2", "--max-restarts", "1", "--no-python"])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture", "--test-threads=1"])
            .env(RESULTS, results.path())
            .env("GLOO_SOCKET_IFNAME", "lo")
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        for rank in ["0", "1"] {
            assert_eq!(std::fs::read_to_string(results.path().join(rank)).unwrap(), "attempt 1, sum 3");
        }
        return;
    }
    run(&Start::all(2), test, |ranks| {
        let Rendezvous::Server { attempt, by_rank_0: false, .. } = ranks.rendezvous else {
            panic!("{ranks:?}")
        };
        let group = join(ranks);
        if attempt == 0 && ranks.rank == 1 {
            signal("KILL");
        }
        let mut sum = [ranks.rank as f64 + 1.0];
        group.sum(&mut sum).unwrap();
        format!("attempt {attempt}, sum {}", sum[0])
    });
}
