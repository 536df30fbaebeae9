//! This program does not use `grades-policies`, so its policies are not linked.

use grades::FreezingConfig;
use grades::policy::PolicyRegistry;

#[test]
fn a_policy_of_a_crate_that_is_not_used_is_unknown_and_the_error_says_how_to_link_it() {
    assert!(PolicyRegistry::linked().unwrap().get("patience").is_none());
    let document =
        "[freezing]\npolicy = { name = \"patience\", policy = { name = \"fixed-threshold\", tau = 1 } }";
    let error = FreezingConfig::from_toml(document).unwrap_err().to_string();
    assert_eq!(
        error,
        "freezing.policy.name: no policy \"patience\" is linked; linked policies: below, both, nested, pair, planned, silent. A crate's \
         policies are linked once the program uses it: `use grades_policies as _;`"
    );
}
