use access_tokens_domain::error::Violations;
use access_tokens_domain::guess_budget::{DEFAULT_LIMIT, GuessBudget};
use access_tokens_domain::policy::{CodePolicy, Format, Policy};

use crate::canary::CANARY;
use crate::ports::Counting;

/// Policies of an import. Asserts that they are written and read again unchanged, and that the bound on guesses is a probability
/// and holds.
pub fn policies(data: &[u8]) {
    let Ok(policy) = serde_json::from_slice::<Policy>(data) else { return };
    let written = serde_json::to_string(&policy).expect("a policy can be written");
    assert_eq!(serde_json::from_str::<Policy>(&written).expect("and read again"), policy);

    let budget = GuessBudget::of(&policy);
    let chance = budget.chance();
    assert!((0.0..=1.0).contains(&chance), "{chance} is no chance");
    assert!(budget.arithmetic().len() < 500);
    let mut lenient = policy.clone();
    lenient.lock.attempts_per_day = lenient.lock.attempts_per_day.saturating_mul(2);
    assert!(GuessBudget::of(&lenient).chance() >= chance, "more guesses, and a smaller chance");

    let ranges = policy.validate("policy");
    let (faults, mut violations) = (ranges.len(), Violations::default());
    policy.check(DEFAULT_LIMIT, "policy", &mut violations);
    if faults > 0 {
        assert_eq!(violations.len(), faults, "the budget of a policy that is not even one");
        let error = violations.into_result().expect_err("faults");
        assert!(error.violations().iter().all(|fault| fault.field.starts_with("policy.")), "{error}");
        return;
    }
    assert_eq!(violations.is_empty(), chance <= DEFAULT_LIMIT);
    codes(&policy.pass_code);
}

/// Asserts that the service accepts each code that it draws, and that a refusal does not contain the refused code.
fn codes(rules: &CodePolicy) {
    let drawn = rules.random(&Counting::default()).expect("drawn");
    let digits_do = rules.min_letters == 0 && rules.min_special == 0;
    let can_be_drawn = match rules.format {
        Format::FreeText => true,
        Format::Number => digits_do,
        Format::Phone => digits_do && rules.min_length.max(rules.min_digits) <= 20,
        Format::Email => false,
    };
    if can_be_drawn {
        assert_eq!(rules.check(drawn.expose()), Ok(()), "a drawn code that the policy refuses");
    }
    if let Err((_, text)) = rules.check(CANARY) {
        assert!(!text.contains(CANARY), "{text}");
    }
}
