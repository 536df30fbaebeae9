//! Contract 17: a killed, stopped or absent rank ends all others within the timeout, with a message that names it.

use std::net::TcpListener;
use std::time::Duration;

use grades::distributed::{Backend, Group};
use grades_tests::{Spec, TinyBert};

use crate::name;
use crate::processes::{End, Start, run, signal};
use crate::recipe::{Recipe, adamw};

const TIMEOUT: Duration = Duration::from_secs(4);

/// Trains until `fault` happens to the last rank at step 4; the others return their error.
fn train_until(start: &Start, test: &str, faulty: usize, fault: fn()) -> Vec<End> {
    run(start, test, |ranks| {
        let group = Group::join(ranks, Backend::Gloo, TIMEOUT).unwrap();
        let model = TinyBert::new(Spec::default());
        let recipe = Recipe { steps: 50, ..Recipe::default() };
        let mut optimizer = recipe.optimizer(adamw(&model.vs), &model, Some(&group));
        for step in 1..=50 {
            if ranks.rank == faulty && step == 4 {
                fault();
            }
            let loss = model.loss(step * 3 + ranks.rank as u64) * 0.3;
            if let Err(error) = optimizer.backward_step(&loss) {
                let again = optimizer.backward_step(&loss).unwrap_err();
                assert!(again.to_string().contains(error.to_string().rsplit(": ").next().unwrap()));
                return error.to_string();
            }
        }
        panic!("the fault was not seen");
    })
}

fn assert_named(ends: &[End], faulty: usize, fate: &str, within: Duration) {
    for (rank, end) in ends.iter().enumerate().filter(|(rank, _)| *rank != faulty) {
        let error = end.result();
        assert!(error.starts_with(&format!("rank {rank} of {}: ", ends.len())), "{error}");
        assert!(error.contains(&format!("rank {faulty} (")), "{error}");
        assert!(error.contains(fate), "{error}");
        assert!(end.after < within, "{:?}", end.after);
    }
    assert!(ends[faulty].result.is_none());
}

#[test]
fn a_killed_rank_is_named() {
    let ends = train_until(&Start::all(3), name!(), 2, || signal("KILL"));
    assert_named(&ends, 2, "has ended", Duration::from_secs(20));
}

#[test]
fn a_stopped_rank_is_named() {
    let ends = train_until(&Start::all(2), name!(), 1, || signal("STOP"));
    assert_named(&ends, 1, "is stopped", Duration::from_secs(25));
}

#[test]
fn a_rank_that_leaves_is_named() {
    let ends = train_until(&Start::all(2), name!(), 1, || panic!("an error of its own"));
    assert_named(&ends, 1, "has", Duration::from_secs(20));
}

/// The store ends with rank 0.
#[test]
fn rank_0_with_the_store_is_named() {
    let mut start = Start::all(2);
    let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
    start.variables = vec![
        ("GRADES_STORE", String::new()),
        ("MASTER_ADDR", "127.0.0.1".to_owned()),
        ("MASTER_PORT", port.to_string()),
    ];
    let ends = train_until(&start, name!(), 0, || signal("KILL"));
    assert_named(&ends, 0, "", Duration::from_secs(20));
}

#[test]
fn a_rank_that_does_not_come_is_named() {
    let start = Start { started: vec![0, 2], ..Start::all(3) };
    let ends = run(&start, name!(), |ranks| {
        Group::join(ranks, Backend::Gloo, Duration::from_secs(2)).unwrap_err().to_string()
    });
    for (end, rank) in ends.iter().zip([0, 2]) {
        assert_eq!(
            end.result(),
            format!("rank {rank} of 3: joining the group: after 2 s rank 1 of 3 has not come")
        );
    }
}

#[test]
fn a_port_in_use_is_named() {
    let listener = TcpListener::bind(("0.0.0.0", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut start = Start { started: vec![0], ..Start::all(2) };
    start.variables = vec![
        ("GRADES_STORE", String::new()),
        ("MASTER_ADDR", "127.0.0.1".to_owned()),
        ("MASTER_PORT", port.to_string()),
    ];
    let ends = run(&start, name!(), |ranks| {
        Group::join(ranks, Backend::Gloo, Duration::from_secs(2)).unwrap_err().to_string()
    });
    let found = ends[0].result();
    assert!(found.contains(&format!("127.0.0.1:{port} cannot be reached")), "{found}");
}
