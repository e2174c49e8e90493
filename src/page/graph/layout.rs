//! A list of steps in layers: each below all that it needs. Long edges pass between the boxes.

use std::collections::VecDeque;

use crate::plan::Step;

/// Width and height of a box.
pub(super) const BOX: (f64, f64) = (210.0, 44.0);
/// Width of the place where a long edge passes.
const PASS: f64 = 14.0;
/// Between boxes.
const GAP: (f64, f64) = (22.0, 30.0);
/// With more places for long edges than this they are drawn straight.
const PASSES: usize = 3000;
/// So often the layers are put in order, down and up.
const SWEEPS: usize = 4;

/// Where boxes and edges are.
pub(super) struct Layout {
    /// The upper left corner of each step's box.
    pub(super) boxes: Vec<(f64, f64)>,
    /// Points of each edge, from above to below.
    pub(super) edges: Vec<Vec<(f64, f64)>>,
    /// Steps that need nothing of their list.
    pub(super) first: Vec<usize>,
    /// Steps that no other of their list needs.
    pub(super) last: Vec<usize>,
    pub(super) width: f64,
    pub(super) height: f64,
}

/// A step, or the place where an edge passes.
struct Place {
    layer: usize,
    above: Vec<usize>,
    below: Vec<usize>,
    is_pass: bool,
    x: f64,
}

/// Lays out a list of steps.
pub(super) fn layout(steps: &[Step]) -> Layout {
    let (order, needs) = sorted(steps);
    let mut layer = vec![0; steps.len()];
    for &at in &order {
        layer[at] = needs[at].iter().map(|before| layer[*before] + 1).max().unwrap_or(0);
    }
    let needs = reduced(&order, needs);
    let mut places: Vec<Place> = layer
        .iter()
        .map(|layer| Place { layer: *layer, above: Vec::new(), below: Vec::new(), is_pass: false, x: 0.0 })
        .collect();
    let passes: usize = needs
        .iter()
        .zip(&layer)
        .flat_map(|(needs, to)| needs.iter().map(move |from| (from, to)))
        .map(|(from, to)| to.saturating_sub(layer[*from] + 1))
        .sum();
    let mut edges = Vec::new();
    for (to, needs) in needs.iter().enumerate() {
        for &from in needs {
            edges.push(connect(&mut places, from, to, passes <= PASSES));
        }
    }
    let width = arrange(&mut places);
    let top = |layer: usize| layer as f64 * (BOX.1 + GAP.1);
    let middle = |place: &Place| place.x + width_of(place) / 2.0;
    let edges = edges.into_iter().map(|through| {
        let mut points = Vec::new();
        for (nth, at) in through.iter().enumerate() {
            let place = &places[*at];
            let (above, below) = (top(place.layer), top(place.layer) + BOX.1);
            if nth > 0 {
                points.push((middle(place), above));
            }
            if nth + 1 < through.len() {
                points.push((middle(place), below));
            }
        }
        points
    });
    let edges = edges.collect();
    let is_needed: Vec<bool> =
        (0..steps.len()).map(|at| needs.iter().any(|needs| needs.contains(&at))).collect();
    Layout {
        boxes: places[..steps.len()].iter().map(|place| (place.x, top(place.layer))).collect(),
        edges,
        first: (0..steps.len()).filter(|at| needs[*at].is_empty()).collect(),
        last: (0..steps.len()).filter(|at| !is_needed[*at]).collect(),
        width,
        height: layer.iter().max().map_or(0.0, |last| top(*last) + BOX.1),
    }
}

/// Steps in an order in which each comes after what it needs, and those needs; needs within a circle, which no
/// compiled plan has, are left out.
fn sorted(steps: &[Step]) -> (Vec<usize>, Vec<Vec<usize>>) {
    let mut needs: Vec<Vec<usize>> = steps
        .iter()
        .map(|step| {
            let mut needs: Vec<usize> = step.needs.iter().copied().filter(|at| *at < steps.len()).collect();
            needs.sort_unstable();
            needs.dedup();
            needs
        })
        .collect();
    let mut missing: Vec<usize> = needs.iter().map(Vec::len).collect();
    let mut ready: VecDeque<usize> = (0..steps.len()).filter(|at| missing[*at] == 0).collect();
    let mut order = Vec::new();
    while let Some(done) = ready.pop_front() {
        order.push(done);
        for (at, needs) in needs.iter().enumerate() {
            if needs.contains(&done) {
                missing[at] -= 1;
                if missing[at] == 0 {
                    ready.push_back(at);
                }
            }
        }
    }
    for at in 0..steps.len() {
        if missing[at] > 0 {
            needs[at].clear();
            order.push(at);
        }
    }
    (order, needs)
}

/// Without needs that follow from others.
fn reduced(order: &[usize], needs: Vec<Vec<usize>>) -> Vec<Vec<usize>> {
    let count = needs.len();
    let mut before = vec![vec![false; count]; count];
    for &at in order {
        for &need in &needs[at] {
            let of_need = before[need].clone();
            before[at].iter_mut().zip(of_need).for_each(|(is, of)| *is |= of);
            before[at][need] = true;
        }
    }
    let follows = |need: usize, of: &[usize]| of.iter().any(|other| before[*other][need]);
    needs.iter().map(|of| of.iter().copied().filter(|need| !follows(*need, of)).collect()).collect()
}

/// Places through which an edge goes, new ones included.
fn connect(places: &mut Vec<Place>, from: usize, to: usize, with_passes: bool) -> Vec<usize> {
    let mut through = vec![from];
    if with_passes {
        for layer in places[from].layer + 1..places[to].layer {
            places.push(Place { layer, above: Vec::new(), below: Vec::new(), is_pass: true, x: 0.0 });
            through.push(places.len() - 1);
        }
    }
    through.push(to);
    for pair in through.windows(2) {
        places[pair[0]].below.push(pair[1]);
        places[pair[1]].above.push(pair[0]);
    }
    through
}

fn width_of(place: &Place) -> f64 {
    if place.is_pass { PASS } else { BOX.0 }
}

/// Puts the places of each layer in an order with few crossings, and gives them their `x`. Returns the width.
fn arrange(places: &mut [Place]) -> f64 {
    let last = places.iter().map(|place| place.layer).max().unwrap_or(0);
    let mut layers: Vec<Vec<usize>> = vec![Vec::new(); last + 1];
    for (at, place) in places.iter().enumerate() {
        layers[place.layer].push(at);
    }
    let mut rank = vec![0.0; places.len()];
    let note = |layer: &[usize], rank: &mut [f64]| {
        for (nth, at) in layer.iter().enumerate() {
            rank[*at] = nth as f64 - (layer.len() - 1) as f64 / 2.0;
        }
    };
    layers.iter().for_each(|layer| note(layer, &mut rank));
    for sweep in 0..SWEEPS {
        for nth in 0..layers.len() {
            let nth = if sweep % 2 == 0 { nth } else { last - nth };
            let wish = |at: usize| {
                let beside = if sweep % 2 == 0 { &places[at].above } else { &places[at].below };
                let sum: f64 = beside.iter().map(|other| rank[*other]).sum();
                if beside.is_empty() { rank[at] } else { sum / beside.len() as f64 }
            };
            let mut wished: Vec<(f64, usize)> = layers[nth].iter().map(|at| (wish(*at), *at)).collect();
            wished.sort_by(|a, b| a.0.total_cmp(&b.0));
            layers[nth] = wished.into_iter().map(|(_, at)| at).collect();
            note(&layers[nth], &mut rank);
        }
    }
    let wide =
        |layer: &Vec<usize>| layer.iter().map(|at| width_of(&places[*at]) + GAP.0).sum::<f64>() - GAP.0;
    let widths: Vec<f64> = layers.iter().map(wide).collect();
    let width = widths.iter().copied().fold(0.0, f64::max);
    for (layer, wide) in layers.iter().zip(widths) {
        let mut x = (width - wide) / 2.0;
        for at in layer {
            places[*at].x = x;
            x += width_of(&places[*at]) + GAP.0;
        }
    }
    width
}
