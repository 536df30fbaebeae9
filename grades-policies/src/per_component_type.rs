//! `per-component-type`: a policy for each kind, layer or name.

use grades::component::{Component, ComponentKind, ComponentPattern};
use grades::policy::{
    Cause, CompositePolicy, Decision, FreezePolicy, Observation, PolicyBuilder, PolicyConfig, PolicyPlugin,
    PolicyState,
};
use grades::schema::{Key, Section};
use grades::{Error, Result, submit};
use serde::{Deserialize, Serialize};

/// Asks another policy for each component, chosen by its kind, layer or name.
///
/// As TOML, from the weakest to the strongest choice:
///
/// ```toml
/// [freezing.policy]
/// name = "per-component-type"
/// default = { name = "signal-fraction" }             # components that nothing else names
/// attention = { name = "signal-fraction", hits = 3 } # attention or mlp
/// query = { name = "fixed-threshold", tau = 0.02 }   # a kind
///
/// [[freezing.policy.rules]]                          # the last rule that fits wins
/// layers = [0, 3]                                    # first and last block
/// kinds = ["value", "mlp"]
/// match = '.*\.layer\.\d+\..*'                       # the component's whole name
/// policy = { name = "patience", policy = { name = "fixed-threshold", tau = 0.01 } }
/// ```
///
/// All that a rule gives must fit. A component for which there is no policy does not freeze, unless the
/// run cools components (`freezing.cooldown`): then all have cooled by its end.
#[derive(Debug, Clone)]
pub struct PerComponentType {
    /// Their policies stay as they were built.
    rules: Vec<(Selector, Box<dyn FreezePolicy>)>,
    /// The rule of the component that this clone is for, once that is known.
    chosen: Choice,
    /// The chosen rule's policy, with this component's history.
    policy: Option<Box<dyn FreezePolicy>>,
}

/// In a state it is a word: `open`, `nothing`, or the rule's place.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
enum Choice {
    /// Nothing has been observed yet.
    Open,
    /// No rule fits.
    Nothing,
    /// The rule in this place.
    Rule(usize),
}

impl From<Choice> for String {
    fn from(choice: Choice) -> Self {
        match choice {
            Choice::Open => "open".to_owned(),
            Choice::Nothing => "nothing".to_owned(),
            Choice::Rule(place) => place.to_string(),
        }
    }
}

impl TryFrom<String> for Choice {
    type Error = String;

    fn try_from(word: String) -> Result<Self, String> {
        match word.as_str() {
            "open" => Ok(Self::Open),
            "nothing" => Ok(Self::Nothing),
            place => place
                .parse()
                .map(Self::Rule)
                .map_err(|_| format!("chosen is \"{word}\", expected open, nothing, or a rule's place")),
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct History {
    chosen: Choice,
    policy: PolicyState,
}

/// Which components a rule is for; what is not given fits all.
#[derive(Debug, Clone, Default)]
pub struct Selector {
    kinds: Option<Vec<ComponentKind>>,
    layers: Option<(u32, u32)>,
    pattern: Option<ComponentPattern>,
}

impl Selector {
    /// Fits all components.
    pub fn all() -> Self {
        Self::default()
    }

    /// Fits these kinds.
    #[must_use]
    pub fn kinds(mut self, kinds: impl IntoIterator<Item = ComponentKind>) -> Self {
        self.kinds = Some(kinds.into_iter().collect());
        self
    }

    /// Fits the blocks from `first` to `last`.
    #[must_use]
    pub fn layers(mut self, first: u32, last: u32) -> Self {
        self.layers = Some((first, last));
        self
    }

    fn fits(&self, component: &Component) -> bool {
        let inside = |(first, last)| component.layer.is_some_and(|layer| (first..=last).contains(&layer));
        self.kinds.as_ref().is_none_or(|kinds| kinds.contains(&component.kind))
            && self.layers.is_none_or(inside)
            && self.pattern.as_ref().is_none_or(|pattern| pattern.find(&component.name).is_some())
    }

    /// Returns whether two are written for the same components.
    fn is_same(&self, other: &Self) -> bool {
        let source = |selector: &Self| selector.pattern.as_ref().map(|pattern| pattern.source().to_owned());
        self.kinds == other.kinds && self.layers == other.layers && source(self) == source(other)
    }
}

impl PerComponentType {
    /// Asks the policy of the last rule that fits a component.
    pub fn new(rules: Vec<(Selector, Box<dyn FreezePolicy>)>) -> Self {
        Self { rules, chosen: Choice::Open, policy: None }
    }

    /// Returns the policy for a component; a clone serves one component only, so it is chosen once.
    fn policy(&mut self, component: &Component) -> Option<&mut Box<dyn FreezePolicy>> {
        if self.chosen == Choice::Open {
            let last = self.rules.iter().rposition(|(selector, _)| selector.fits(component));
            self.chosen = last.map_or(Choice::Nothing, Choice::Rule);
            self.policy = last.map(|place| self.rules[place].1.clone());
        }
        self.policy.as_mut()
    }
}

impl CompositePolicy for PerComponentType {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn inner(&self) -> Vec<&dyn FreezePolicy> {
        self.rules.iter().map(|(_, policy)| &**policy).collect()
    }

    fn inner_mut(&mut self) -> Vec<&mut Box<dyn FreezePolicy>> {
        self.rules.iter_mut().map(|(_, policy)| policy).collect()
    }

    fn asked(&mut self, component: &Component) -> Vec<&mut Box<dyn FreezePolicy>> {
        self.policy(component).into_iter().collect()
    }

    fn decide(&mut self, observation: &Observation<'_>) -> Decision {
        self.policy(observation.component()).map_or(Decision::Keep, |policy| policy.decide(observation))
    }

    fn compares(&self, observation: &Observation<'_>) -> Option<Cause> {
        self.policy.as_ref()?.compares(observation)
    }

    fn state(&self) -> Result<PolicyState> {
        let policy = self.policy.as_ref().map(|policy| policy.state()).transpose()?.unwrap_or_default();
        PolicyState::of(&History { chosen: self.chosen, policy })
    }

    fn restore(&mut self, state: &PolicyState) -> Result<()> {
        let History { chosen, policy: history } = state.read(Self::NAME)?;
        self.policy = match chosen {
            Choice::Rule(place) => {
                let Some((_, rule)) = self.rules.get(place) else {
                    let reason = format!("rule {place} of {} rules", self.rules.len());
                    return Err(Error::State { what: format!("policy \"{}\"", Self::NAME), reason });
                };
                // From the policy as it was built, so that nothing of another history stays.
                let mut policy = rule.clone();
                policy.restore(&history)?;
                Some(policy)
            }
            Choice::Open | Choice::Nothing => {
                history.expect_empty(Self::NAME)?;
                None
            }
        };
        self.chosen = chosen;
        Ok(())
    }
}

const RULE: &[Key] = &[
    Key::new("kinds", "component kinds; attention and mlp name several"),
    Key::new("layers", "the first and the last transformer block, [FIRST, LAST]"),
    Key::new("match", "regular expression over the component's whole name"),
    Key::new("policy", "the policy's table (required)"),
];

impl PolicyConfig for PerComponentType {
    const NAME: &'static str = "per-component-type";
    const SUMMARY: &'static str = "asks another policy for each kind, layer range or name pattern";
    const KEYS: &'static [Key] = &[
        Key::new("default", "the policy of components that nothing else names"),
        Key::new("attention", "the policy of all attention projections"),
        Key::new("mlp", "the policy of all feed-forward projections"),
        Key::new("query", "the policy of one kind; so for the kinds that follow"),
        Key::new("key", "of the key projections"),
        Key::new("value", "of the value projections"),
        Key::new("output", "of attention's output projections"),
        Key::new("gate", "of the gate projections"),
        Key::new("up", "of the up projections"),
        Key::new("down", "of the down projections"),
        Key::new("fused-qkv", "of fused query, key and value"),
        Key::new("fused-gate-up", "of fused gate and up"),
        Key::new("embedding", "of embeddings, where they are tracked"),
        Key::new("norm", "of normalisations, where they are tracked"),
        Key::new("head", "of heads, where they are tracked"),
        Key::new("adapter", "of adapters"),
        Key::new("other", "of anything else that is tracked"),
        Key::new("rules", "tables of kinds, layers, match and policy; the last that fits wins"),
    ];

    fn from_config(section: &mut Section<'_>, builder: &PolicyBuilder<'_>) -> Option<Self> {
        let mut rules = Vec::new();
        let mut complete = true;
        // In the order of KEYS, which goes from the weakest to the strongest choice.
        for key in Self::KEYS.iter().map(|key| key.name).filter(|key| *key != "rules") {
            if !section.has(key) {
                continue;
            }
            let selector = match ComponentKind::group(key) {
                Ok(kinds) => Selector::all().kinds(kinds),
                Err(_) => Selector::all(),
            };
            match builder.child(section, key) {
                Some(policy) => rules.push((selector, policy)),
                None => complete = false,
            }
        }
        let mut selectors: Vec<Option<Selector>> = Vec::new();
        section.tables("rules", RULE, |rule| {
            let selector = read_selector(rule);
            let policy = builder.child(rule, "policy");
            let same = |other: &Option<Selector>| {
                other.as_ref().zip(selector.as_ref()).is_some_and(|(other, own)| own.is_same(other))
            };
            if let Some(place) = selectors.iter().position(same) {
                rule.problem(
                    "policy",
                    format!("contradicts rules[{place}], which is for the same components"),
                );
                complete = false;
            }
            selectors.push(selector.clone());
            match selector.zip(policy) {
                Some(rule) => rules.push(rule),
                None => complete = false,
            }
        });
        if complete && rules.is_empty() {
            section.problem("default", "there is no policy at all: give default, a kind, or rules");
            return None;
        }
        complete.then(|| Self::new(rules))
    }
}

fn read_selector(rule: &mut Section<'_>) -> Option<Selector> {
    let mut selector = Selector::all();
    let mut complete = true;
    if let Some(words) = rule.texts("kinds") {
        let mut kinds = Vec::new();
        for word in words {
            match ComponentKind::group(&word) {
                Ok(group) => kinds.extend(group),
                Err(error) => {
                    rule.problem("kinds", error.to_string());
                    complete = false;
                }
            }
        }
        if complete && kinds.is_empty() {
            rule.problem("kinds", "is empty: no component fits");
            complete = false;
        }
        // The same kinds in another order are the same selector.
        kinds.sort_unstable();
        kinds.dedup();
        selector = selector.kinds(kinds);
    } else if rule.has("kinds") {
        complete = false;
    }
    if rule.has("layers") {
        let expected = "[FIRST, LAST] with FIRST up to LAST";
        let layers = rule.value_or("layers", None, expected, |value| {
            let (first, last): (u32, u32) = value.try_into().ok()?;
            (first <= last).then_some(Some((first, last)))
        });
        complete &= layers.is_some();
        selector.layers = layers.flatten();
    }
    if rule.has("match") {
        match rule.text("match").map(|source| (ComponentPattern::new(&source, ComponentKind::Other), source))
        {
            Some((Ok(pattern), _)) => selector.pattern = Some(pattern),
            Some((Err(error), source)) => {
                rule.problem("match", format!("\"{source}\": {error}"));
                complete = false;
            }
            None => complete = false,
        }
    }
    complete.then_some(selector)
}

submit! { PolicyPlugin::of::<PerComponentType>() }
