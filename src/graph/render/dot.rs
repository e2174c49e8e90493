//! Draws an outline as Graphviz text.

use std::fmt::Write as _;

use super::outline::Outline;
use crate::graph::RolloutGraph;

/// The graph in the dot language; `dot -Tsvg` draws it. Of a big fleet the first and the last workers
/// of each wave are drawn.
pub fn dot(graph: &RolloutGraph) -> String {
    let outline = Outline::of(graph);
    let mut text = format!("digraph {} {{\n", quoted(&graph.plan.name));
    text.push_str("  rankdir=LR;\n  node [shape=box, style=rounded, fontname=\"sans-serif\"];\n");
    for group in &outline.groups {
        let indent = if group.title.is_some() { "    " } else { "  " };
        // Writing into a `String` cannot fail.
        if let Some(title) = &group.title {
            let _ = writeln!(
                text,
                "  subgraph {} {{\n    label={};",
                quoted(&format!("cluster_{}", group.id)),
                quoted(title)
            );
        }
        for node in &group.nodes {
            let style = match (node.step.is_some(), node.skipped, node.stands_for_more) {
                (true, true, _) => ", style=\"rounded,dashed\", fontcolor=gray",
                (true, false, _) => "",
                (false, _, true) => ", shape=plaintext, style=\"\"",
                (false, _, false) => ", shape=ellipse, style=\"\"",
            };
            let _ = writeln!(text, "{indent}{} [label={}{style}];", node.id, quoted(&node.label));
        }
        if group.title.is_some() {
            text.push_str("  }\n");
        }
    }
    for (from, to) in &outline.edges {
        let _ = writeln!(text, "  {from} -> {to};");
    }
    text.push_str("}\n");
    text
}

/// A quoted string of the dot language: only `"` has a meaning inside, and a backslash before it.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
