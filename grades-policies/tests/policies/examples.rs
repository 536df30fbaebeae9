//! One configuration, or several, of every linked policy: a new policy is covered by the laws once it has a line here.

/// The table of a policy as TOML. Thresholds are near 1 and windows short, as the values of the laws are.
pub(crate) const EXAMPLES: &[&str] = &[
    r#"name = "fixed-threshold"
       tau = 1.0"#,
    r#"name = "fixed-threshold"
       metric = "grad-rms"
       tau = 0.5"#,
    r#"name = "fixed-threshold"
       metric = "grad-delta-l1"
       tau = 0.5"#,
    r#"name = "patience"
       hits = 3
       policy = { name = "fixed-threshold", tau = 1.0 }"#,
    r#"name = "patience"
       policy = { name = "patience", hits = 2, policy = { name = "fixed-threshold", metric = "grad-l2", tau = 1.0 } }"#,
    r#"name = "patience"
       hits = 2
       policy = { name = "quota", window = 2 }"#,
    r#"name = "patience"
       hits = 2
       policy = { name = "thaw", period = 2, probe = 3, policy = { name = "fixed-threshold", tau = 1.0 } }"#,
    r#"name = "relative-to-peak"
       window = 3
       hits = 2"#,
    r#"name = "relative-to-peak"
       rho = 0.9
       window = 1
       hits = 1"#,
    r#"name = "signal-fraction"
       floor = 0.25
       window = 2
       hits = 2"#,
    r#"name = "auto-threshold"
       floor = 0.0
       window = 4
       hits = 1"#,
    r#"name = "two-batch"
       floor = 0.3
       window = 2
       hits = 2"#,
    r#"name = "two-batch"
       window = 1
       hits = 1"#,
    r#"name = "quota"
       window = 3"#,
    r#"name = "quota"
       max_share = 0.5
       window = 1"#,
    r#"name = "no-progress"
       z = 2.0
       window = 3
       hits = 2"#,
    r#"name = "no-progress"
       window = { share = 0.05 }
       hits = 1"#,
    r#"name = "payoff"
       window = 3
       hits = 2"#,
    r#"name = "payoff"
       worth = 1.0
       z = 0.0
       window = 2
       hits = 1"#,
    r#"name = "bottom-up"
       window = 2"#,
    r#"name = "bottom-up"
       percentile = 80
       window = { share = 0.05 }"#,
    r#"name = "plateau"
       slope = 0.5
       window = 4
       hits = 2"#,
    r#"name = "plateau"
       rho = 0.9
       slope = 10.0
       window = 3
       hits = 1"#,
    r#"name = "per-component-type"
       default = { name = "fixed-threshold", tau = 1.0 }
       attention = { name = "relative-to-peak", window = 2, hits = 2 }
       mlp = { name = "patience", hits = 2, policy = { name = "fixed-threshold", tau = 0.5 } }
       value = { name = "signal-fraction", floor = 0.1, window = 2, hits = 1 }"#,
    r#"name = "per-component-type"
       default = { name = "relative-to-peak", window = 2, hits = 1 }
       rules = [
           { kinds = ["down"], policy = { name = "quota", window = 2 } },
           { layers = [0, 0], match = '.*mlp.*', policy = { name = "plateau", slope = 1.0, window = 3, hits = 1 } },
       ]"#,
    r#"name = "per-component-type"
       mlp = { name = "thaw", period = 3, probe = 3, policy = { name = "fixed-threshold", tau = 1.0 } }
       attention = { name = "patience", hits = 4, policy = { name = "fixed-threshold", tau = 1.0 } }"#,
    r#"name = "all-of"
       policies = [
           { name = "patience", hits = 2, policy = { name = "fixed-threshold", tau = 1.0 } },
           { name = "relative-to-peak", window = 2, hits = 1 },
       ]"#,
    r#"name = "all-of"
       policies = [{ name = "relative-to-peak", rho = 0.7, window = 2, hits = 1 }, { name = "quota", window = 1 }]"#,
    r#"name = "any-of"
       policies = [
           { name = "fixed-threshold", tau = 0.1 },
           { name = "signal-fraction", floor = 0.2, window = 2, hits = 2 },
           { name = "all-of", policies = [{ name = "relative-to-peak", window = 2, hits = 2 }] },
       ]"#,
    r#"name = "any-of"
       policies = [
           { name = "payoff", window = 3, hits = 2 },
           { name = "no-progress", window = 4, hits = 3 },
       ]"#,
    r#"name = "any-of"
       policies = [{ name = "quota", max_share = 0.4, window = 2 }, { name = "plateau", slope = 1.0, window = 3 }]"#,
    r#"name = "any-of"
       policies = [
           { name = "fixed-threshold", tau = 0.1 },
           { name = "thaw", period = 2, probe = 2, policy = { name = "relative-to-peak", window = 1, hits = 1 } },
       ]"#,
    r#"name = "thaw"
       period = 2
       probe = 3
       policy = { name = "fixed-threshold", tau = 1.0 }"#,
    r#"name = "thaw"
       period = 4
       probe = 6
       rewarm = 1.5
       policy = { name = "patience", hits = 2, policy = { name = "relative-to-peak", window = 2, hits = 1 } }"#,
    r#"name = "thaw"
       period = 3
       probe = 4
       policy = { name = "quota", window = 2 }"#,
];
