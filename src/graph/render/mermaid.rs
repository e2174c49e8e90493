//! Draws an outline as Mermaid text.

use std::fmt::Write as _;

use super::outline::Outline;
use crate::graph::RolloutGraph;

/// The graph as a mermaid flowchart, for Markdown. Of a big fleet the first and the last workers of
/// each wave are drawn.
pub fn mermaid(graph: &RolloutGraph) -> String {
    let outline = Outline::of(graph);
    let mut text = "flowchart LR\n".to_owned();
    let mut skipped = Vec::new();
    for group in &outline.groups {
        let indent = if group.title.is_some() { "    " } else { "  " };
        // Writing into a `String` cannot fail.
        if let Some(title) = &group.title {
            let _ = writeln!(text, "  subgraph {}[\"{}\"]", group.id, escaped(title));
        }
        for node in &group.nodes {
            let label = escaped(&node.label);
            let _ = match (node.step.is_some(), node.stands_for_more) {
                (true, _) => writeln!(text, "{indent}{}[\"{label}\"]", node.id),
                (false, true) => writeln!(text, "{indent}{}>\"{label}\"]", node.id),
                (false, false) => writeln!(text, "{indent}{}([\"{label}\"])", node.id),
            };
            if node.skipped {
                skipped.push(node.id.as_str());
            }
        }
        if group.title.is_some() {
            text.push_str("  end\n");
        }
    }
    for (from, to) in &outline.edges {
        let _ = writeln!(text, "  {from} --> {to}");
    }
    if !skipped.is_empty() {
        let _ = writeln!(
            text,
            "  classDef skipped stroke-dasharray: 4 4,color:#888\n  class {} skipped",
            skipped.join(",")
        );
    }
    text
}

/// Inside of double quotes mermaid takes entities for what would end or change the text.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '#' | '&' | '<' | '>' | '`' | ';' => {
                let _ = write!(safe, "#{};", c as u32);
            }
            _ => safe.push(c),
        }
    }
    safe
}
