//! Looks for the least value of a function of a few numbers: the simplex method of Nelder and Mead
//! (The Computer Journal 7, 1965). Deterministic.

/// A point and the function's value there.
#[derive(Clone, Debug)]
pub(super) struct Vertex {
    pub(super) at: Vec<f64>,
    pub(super) value: f64,
}

/// Steps along the line from the worst vertex through the centre of the others.
const REFLECT: f64 = 1.0;
const EXPAND: f64 = 2.0;
const CONTRACT: f64 = 0.5;

/// The least value of `function` that a simplex around `start` with edges of `step` finds in about
/// `calls` calls, or before it has shrunk to edges of `tolerance`.
pub(super) fn least<E>(
    mut function: impl FnMut(&[f64]) -> Result<f64, E>,
    start: &[f64],
    step: f64,
    (calls, tolerance): (usize, f64),
) -> Result<Vertex, E> {
    let mut left = calls;
    let mut evaluate = |at: Vec<f64>, left: &mut usize| {
        *left = left.saturating_sub(1);
        let value = function(&at)?;
        Ok::<_, E>(Vertex { at, value })
    };
    let mut simplex = vec![evaluate(start.to_vec(), &mut left)?];
    for index in 0..start.len() {
        let mut at = start.to_vec();
        at[index] += step;
        simplex.push(evaluate(at, &mut left)?);
    }
    loop {
        simplex.sort_by(|one, other| one.value.total_cmp(&other.value));
        let worst = simplex.len() - 1;
        if left == 0 || worst == 0 || extent(&simplex) < tolerance {
            return Ok(simplex.swap_remove(0));
        }
        let on_line = |by: f64| along(&simplex, by);
        let reflected = evaluate(on_line(REFLECT), &mut left)?;
        let better = if reflected.value < simplex[0].value {
            let expanded = evaluate(on_line(EXPAND), &mut left)?;
            Some(if expanded.value < reflected.value {
                expanded
            } else {
                reflected
            })
        } else if reflected.value < simplex[worst - 1].value {
            Some(reflected)
        } else {
            let by = if reflected.value < simplex[worst].value {
                CONTRACT
            } else {
                -CONTRACT
            };
            let contracted = evaluate(on_line(by), &mut left)?;
            let least = reflected.value.min(simplex[worst].value);
            (contracted.value < least).then_some(contracted)
        };
        if let Some(better) = better {
            simplex[worst] = better;
            continue;
        }
        let best = simplex[0].at.clone();
        for vertex in &mut simplex[1..] {
            let at = vertex
                .at
                .iter()
                .zip(&best)
                .map(|(at, best)| (at + best) / 2.0);
            *vertex = evaluate(at.collect(), &mut left)?;
        }
    }
}

/// The point `by` times as far beyond the centre of the others as the worst vertex is before it.
fn along(simplex: &[Vertex], by: f64) -> Vec<f64> {
    let (worst, others) = simplex.split_last().expect("a simplex has vertices");
    let centre = |index: usize| {
        let sum: f64 = others.iter().map(|vertex| vertex.at[index]).sum();
        sum / others.len() as f64
    };
    (0..worst.at.len())
        .map(|index| {
            let centre = centre(index);
            centre + by * (centre - worst.at[index])
        })
        .collect()
}

/// The longest distance of a vertex from the first, along any axis.
fn extent(simplex: &[Vertex]) -> f64 {
    let distances = simplex[1..].iter().flat_map(|vertex| {
        let pairs = vertex.at.iter().zip(&simplex[0].at);
        pairs.map(|(one, other)| (one - other).abs())
    });
    distances.fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    #[test]
    fn a_curved_valley_is_followed_to_its_lowest_point() {
        let rosenbrock = |at: &[f64]| {
            let (x, y) = (at[0], at[1]);
            Ok::<_, Infallible>((1.0 - x).powi(2) + 100.0 * (y - x * x).powi(2))
        };
        let Ok(found) = least(rosenbrock, &[-1.2, 1.0], 0.5, (400, 1e-6));
        assert!((found.at[0] - 1.0).abs() < 1e-3, "{found:?}");
        assert!((found.at[1] - 1.0).abs() < 1e-3, "{found:?}");
    }

    #[test]
    fn the_number_of_calls_is_bounded() {
        let mut calls = 0;
        let count = |at: &[f64]| {
            calls += 1;
            Ok::<_, Infallible>(-at.iter().sum::<f64>())
        };
        let Ok(_) = least(count, &[0.0; 3], 1.0, (50, 0.0));
        assert!((50..=56).contains(&calls), "{calls}");
    }
}
