//! Requests of operators while no controller carries the run out.

use crate::engine::{Control, Fact, Millis, Request, RunState, describe_refusal, facts_of};

use super::ledger::Ledger;

/// The facts that a request comes down to, each of which may follow in `run`, which has taken them when this
/// returns.
///
/// # Errors
/// Why it is refused.
pub fn offline_facts(run: &mut RunState, now: Millis, verb: &Control, by: &str) -> Result<Vec<Fact>, String> {
    let request = Request { n: 0, verb: verb.clone(), by: by.to_owned(), at: now };
    let facts = facts_of(run, &request)?;
    for fact in &facts {
        run.replay(now, fact).map_err(|why| describe_refusal(run, &request, &why))?;
    }
    Ok(facts)
}

/// Applies a request to the journal itself: what it comes down to is stored, and nothing follows from it until
/// an operator resumes the run. `Ok(Err(why))`: it was refused, and nothing was stored.
///
/// Not for [`Control::Abort`], which has work to do: a process takes the run up with its [`offline_facts`].
///
/// # Errors
/// The facts were not stored.
pub fn apply_offline<L: Ledger>(
    run: &mut RunState,
    ledger: &mut L,
    now: Millis,
    verb: &Control,
    by: &str,
) -> Result<Result<(), String>, L::Error> {
    match offline_facts(run, now, verb, by) {
        Ok(facts) => ledger.append(now, facts, None).map(Ok),
        Err(why) => Ok(Err(why)),
    }
}
