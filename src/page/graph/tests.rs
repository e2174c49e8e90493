//! Graphs of plans, small and large.

use super::*;
use crate::graph::testing::{command, compiled, fleet, plan, step, worker};
use crate::plan::Plan;

fn drawn(plan: &Plan, workers: usize) -> String {
    let hosts = (1..=workers).map(|n| worker(&format!("w{n}"), &[], &[])).collect();
    plan_graph(&compiled(plan, &fleet(hosts, &[]))).into_string()
}

/// Steps that each need what `needs` says of their number.
fn steps(count: usize, needs: impl Fn(usize) -> Vec<usize>) -> Vec<Step> {
    (0..count)
        .map(|at| Step { needs: needs(at), ..step(&format!("s{at}"), command("x").kind, &[]) })
        .collect()
}

#[test]
fn each_step_is_below_all_that_it_needs_and_no_box_is_over_another() {
    let shapes: [(&str, Vec<Step>); 5] = [
        ("one", steps(1, |_| vec![])),
        ("a chain", steps(40, |at| at.checked_sub(1).into_iter().collect())),
        (
            "a diamond",
            steps(6, |at| match at {
                0 => vec![],
                5 => vec![1, 2, 3, 4, 0],
                _ => vec![0],
            }),
        ),
        ("side by side", steps(200, |_| vec![])),
        ("everything needs everything", steps(60, |at| (0..at).collect())),
    ];
    for (what, steps) in shapes {
        let layout = layout(&steps);
        for (at, step) in steps.iter().enumerate() {
            for need in &step.needs {
                assert!(layout.boxes[*need].1 + BOX.1 < layout.boxes[at].1, "{what}: {need} and {at}");
            }
            for other in 0..at {
                let (a, b) = (layout.boxes[at], layout.boxes[other]);
                let apart = (a.0 - b.0).abs() >= BOX.0 || (a.1 - b.1).abs() >= BOX.1;
                assert!(apart, "{what}: {at} is over {other}");
            }
        }
        let inside = |x: f64, y: f64| (0.0..=layout.width).contains(&x) && (0.0..=layout.height).contains(&y);
        assert!(layout.boxes.iter().all(|(x, y)| inside(*x, *y) && inside(x + BOX.0, y + BOX.1)), "{what}");
        assert!(layout.edges.iter().flatten().all(|(x, y)| inside(*x, *y)), "{what}");
        let going_down = |edge: &Vec<(f64, f64)>| edge.windows(2).all(|pair| pair[0].1 <= pair[1].1);
        assert!(layout.edges.iter().all(going_down), "{what}");
    }
}

#[test]
fn what_follows_from_other_needs_is_not_drawn() {
    let all = steps(4, |at| (0..at).collect());
    let layout = layout(&all);
    assert_eq!(layout.edges.len(), 3);
    assert_eq!((layout.first, layout.last), (vec![0], vec![3]));
}

#[test]
fn a_circle_ends() {
    let circle = steps(3, |at| vec![(at + 1) % 3]);
    assert_eq!(layout(&circle).boxes.len(), 3);
}

#[test]
fn steps_of_workers_are_drawn_once_with_the_places_at_which_workers_wait() {
    let mut plan = plan();
    plan.before = steps(1, |_| vec![]);
    plan.after = steps(1, |_| vec![]);
    let one = drawn(&plan, 1);
    let many = drawn(&plan, 500);
    let boxes = |text: &str| text.matches("class=\"box\"").count();
    assert_eq!((boxes(&one), boxes(&many)), (4, 4));
    assert!(many.contains("steps: each of 500 workers") && many.contains("at most 1 at a time"));
    assert!(many.contains("all workers have ended") && !many.contains("next wave"));
    assert!(many.contains("wait_for_ssh: wait_for_ssh; within 5m (after reboot)"), "in words: {many}");
}

#[test]
fn a_label_is_text_and_has_room() {
    let mut plan = plan();
    plan.steps[0].id = format!("</title></svg><script>alert(1)</script>{}", "x".repeat(10_000));
    let text = drawn(&plan, 1);
    assert!(!text.contains("<script") && text.contains("&lt;script&gt;"), "{text}");
    assert!(text.len() < 12_000, "{} bytes", text.len());
}
