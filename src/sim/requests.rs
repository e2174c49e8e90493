//! Draws of requests over HTTP, in the place of commands of the controller's machine.

use std::collections::BTreeMap;

use super::rng::Rng;
use crate::plan::{
    EnvValue, HttpExpect, HttpMethod, HttpRequest, HttpStep, HttpUndo, Plan, StatusRange, StepKind, Undo,
};

/// Some of the `local` steps become requests: repeatable ones or not, whatever their method, with an undo or without.
pub(super) fn instead_of_commands(rng: &mut Rng, plan: &mut Plan) {
    let lists = [&mut plan.before, &mut plan.steps, &mut plan.after];
    for step in lists.into_iter().flatten() {
        let StepKind::Local(command) = &step.kind else { continue };
        if !rng.coin() {
            continue;
        }
        let method = HttpMethod::ALL[rng.index(HttpMethod::ALL.len())];
        let idempotent = if rng.per_mille(250) { rng.coin() } else { method.is_idempotent() };
        let headers: BTreeMap<String, EnvValue> = command.env.clone();
        let undo = match command.undo {
            Undo::Command(_) => HttpUndo::Request(Box::new(request(HttpMethod::Delete, headers.clone()))),
            Undo::Nothing | Undo::Unstated => HttpUndo::Nothing,
        };
        let expect = HttpExpect { status: vec![StatusRange::SUCCESS], json: Vec::new() };
        let request = request(method, headers);
        step.kind = StepKind::Http(HttpStep { request, expect, idempotent, undo });
    }
}

fn request(method: HttpMethod, headers: BTreeMap<String, EnvValue>) -> HttpRequest {
    let url = "http://lb.example/servers/$MAAND_HOST".to_owned();
    HttpRequest { method, url, headers, body: None }
}
