//! One configuration, or several, of every linked policy: a new policy is covered by the laws once it has a line here.

/// The table of a policy as TOML. Thresholds are near 1, where the values of the laws are.
pub(crate) const EXAMPLES: &[&str] = &[
    r#"name = "fixed-threshold"
       tau = 1.0"#,
    r#"name = "fixed-threshold"
       metric = "grad-rms"
       tau = 0.5"#,
    r#"name = "patience"
       hits = 3
       policy = { name = "fixed-threshold", tau = 1.0 }"#,
    r#"name = "patience"
       policy = { name = "patience", hits = 2, policy = { name = "fixed-threshold", metric = "grad-l2", tau = 1.0 } }"#,
];
