//! Grace in passes over the training examples.

use grades::FreezingConfig;
use grades::config::Grace;
use grades::policy::Cooldown;

use crate::policies::Below;
use crate::tracker::{freeze_steps, tracker};

fn config(epochs: f64) -> FreezingConfig {
    FreezingConfig::new(Below::new(1.0)).with_grace(Grace::Epochs { epochs })
}

#[test]
fn nothing_freezes_before_the_passes_are_over() {
    struct Case {
        epochs: f64,
        epoch_steps: u64,
        total_steps: u64,
        cooldown: Cooldown,
        grace: u64,
    }
    let whole = Cooldown::Share { share: 1.0 };
    let cases = [
        Case { epochs: 1.0, epoch_steps: 30, total_steps: 90, cooldown: whole, grace: 30 },
        Case { epochs: 0.5, epoch_steps: 31, total_steps: 310, cooldown: whole, grace: 16 },
        Case { epochs: 0.0, epoch_steps: 30, total_steps: 90, cooldown: whole, grace: 0 },
        // The last check from which everything can cool in time is that of step 45.
        Case { epochs: 1.0, epoch_steps: 90, total_steps: 90, cooldown: whole, grace: 44 },
        Case {
            epochs: 3.0,
            epoch_steps: 30,
            total_steps: 90,
            cooldown: Cooldown::Share { share: 0.5 },
            grace: 59,
        },
        Case { epochs: 1.0, epoch_steps: 90, total_steps: 90, cooldown: Cooldown::Steps(10), grace: 79 },
        // Without a cool-down nothing must begin in time.
        Case { epochs: 1.0, epoch_steps: 90, total_steps: 90, cooldown: Cooldown::Steps(0), grace: 89 },
    ];
    for Case { epochs, epoch_steps, total_steps, cooldown, grace } in cases {
        let config = config(epochs).with_epoch_steps(epoch_steps).with_cooldown(cooldown);
        let mut tracker = tracker(1, &config, total_steps);
        assert_eq!(tracker.grace_steps(), grace, "{epochs} × {epoch_steps} of {total_steps}, {cooldown}");
        freeze_steps(&mut tracker, &[0.5]);
        assert!(tracker.cooling() + tracker.frozen() == 1, "{epochs} × {epoch_steps} of {total_steps}");
    }
}

#[test]
fn the_length_of_a_pass_must_be_known() {
    let map = tracker(1, &FreezingConfig::new(Below::new(1.0)), 9).map().clone();
    let error = grades::tracker::FreezeTracker::new(map, &config(1.0), 90).unwrap_err().to_string();
    assert!(error.starts_with("grace: is 1 epochs, and nothing says how many steps an epoch has"), "{error}");
}

#[test]
fn a_table_has_passes_and_nothing_else() {
    let read = |value: &str| {
        FreezingConfig::from_toml(&format!(
            "[freezing]\ngrace = {value}\npolicy = {{ name = \"below\", tau = 1 }}"
        ))
    };
    assert_eq!(read("{ epochs = 2 }").unwrap().grace(), Grace::Epochs { epochs: 2.0 });
    assert_eq!(read("0.25").unwrap().grace(), Grace::Share(0.25));
    for wrong in ["{ epochs = -1 }", "{ epochs = inf }", "{ epoch = 1 }", "{}", "{ epochs = 1, steps = 2 }"] {
        let error = read(wrong).unwrap_err().to_string();
        assert!(
            error.starts_with("freezing.grace: expected { epochs = E } with E of at least 0, found "),
            "{error}"
        );
    }
    let table = read("{ epochs = 2 }").unwrap().settings();
    assert_eq!(
        FreezingConfig::from_table("freezing", &table).unwrap().grace(),
        Grace::Epochs { epochs: 2.0 }
    );
}
