//! Where facts are made durable and where requests of operators wait: what the loop needs of a journal.

use std::convert::Infallible;

use crate::engine::{Fact, Millis, Request};

/// The journal of one run, as its one writer sees it.
pub trait Ledger {
    /// Why something was not stored.
    type Error;

    /// Makes facts durable behind the newest one, all or none, in one step with the request (by its number)
    /// that they answer. Durable when it returns.
    ///
    /// # Errors
    /// Nothing was stored, or it is not known whether it was; the process must stop and a resume must look.
    fn append(&mut self, at: Millis, facts: Vec<Fact>, answers: Option<i64>) -> Result<(), Self::Error>;

    /// Requests that nobody has answered, oldest first. Each comes again until it is answered.
    ///
    /// # Errors
    /// They cannot be read.
    fn pending_requests(&mut self) -> Result<Vec<Request>, Self::Error>;

    /// Answers a request that cannot be carried out.
    ///
    /// # Errors
    /// The answer was not stored.
    fn refuse(&mut self, request: i64, at: Millis, why: &str) -> Result<(), Self::Error>;
}

/// A journal in memory, for tests and examples.
#[derive(Debug, Default)]
pub struct MemoryLedger {
    /// The facts with the times at which they were learnt.
    pub facts: Vec<(Millis, Fact)>,
    /// Requests that nobody has answered.
    pub requests: Vec<Request>,
    /// Requests that were refused, and why.
    pub refused: Vec<(i64, String)>,
}

impl Ledger for MemoryLedger {
    type Error = Infallible;

    fn append(&mut self, at: Millis, facts: Vec<Fact>, answers: Option<i64>) -> Result<(), Infallible> {
        self.facts.extend(facts.into_iter().map(|fact| (at, fact)));
        self.requests.retain(|request| Some(request.n) != answers);
        Ok(())
    }

    fn pending_requests(&mut self) -> Result<Vec<Request>, Infallible> {
        Ok(self.requests.clone())
    }

    fn refuse(&mut self, request: i64, _at: Millis, why: &str) -> Result<(), Infallible> {
        self.requests.retain(|pending| pending.n != request);
        self.refused.push((request, why.to_owned()));
        Ok(())
    }
}
