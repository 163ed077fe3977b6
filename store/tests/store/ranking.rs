//! Tools and servers in the order of figures.

use mcptap_model::{Call, CallFilter, Evidence};
use mcptap_store::{Error, Figure, Options, PageRequest, Ranked, Ranking, Store, Tool};

use crate::support::{Place, batch, on_both, plain};

on_both!(
    rankings_are_those_of_the_statistics,
    a_ranking_takes_no_more_memory_than_there_is,
);

fn rankings() -> impl Iterator<Item = Ranking> {
    Figure::ALL
        .into_iter()
        .flat_map(|by| [true, false].map(|descending| Ranking { by, descending }))
}

/// Calls of tools with many equal figures, one tool that only runs, and one server that has streams alone.
fn calls() -> impl Iterator<Item = Call> {
    (1..=160_u64).map(|number| {
        let tool = number % 11;
        let failed = number % 4 == 0 && tool < 5;
        Call {
            server: Some(
                if tool == 10 {
                    "streams"
                } else {
                    ["b", "a", "c"][(number % 3) as usize]
                }
                .to_owned(),
            ),
            tool: (tool != 10).then(|| format!("T{tool}")),
            duration_nanos: ((number * 7_919 % 13) * 1_000_000 + tool) as i64,
            evidence: Evidence {
                failed,
                tool_error: failed,
                open: tool == 9,
                stream: tool == 10,
                ..Evidence::default()
            },
            ..plain(number)
        }
    })
}

/// The same twice: once as the condition of rows tells it, and once where texts decide.
fn filters() -> [CallFilter; 2] {
    let by_texts = CallFilter {
        not: Some(Box::new(CallFilter {
            search: Some(mcptap_model::search::Query::parse("\"a b absent\"")),
            ..CallFilter::default()
        })),
        ..CallFilter::default()
    };
    [CallFilter::default(), by_texts]
}

/// The figure by which one stands, from its statistics.
async fn figure(store: &Store, ranking: Ranking, of: CallFilter) -> Option<f64> {
    let stats = store.stats(&of, 1).await.unwrap();
    match ranking.by {
        Figure::Calls => Some(stats.call_count as f64),
        Figure::Errors => Some(stats.error_count as f64),
        Figure::P50 => stats.p50_ms,
        Figure::P95 => stats.p95_ms,
        Figure::P99 => stats.p99_ms,
        Figure::ErrorRate => (stats.call_count > 0).then(|| {
            let (errors, calls, z) = (stats.error_count as f64, stats.call_count as f64, 1.96_f64);
            let share = errors / calls;
            let centre = share + z * z / (2.0 * calls);
            let spread = z * ((share * (1.0 - share) + z * z / (4.0 * calls)) / calls).sqrt();
            ((centre - spread) / (1.0 + z * z / calls)).max(0.0)
        }),
    }
}

/// The greatest or the least figure first, none last, and names in their order.
fn sort<T: Ord>(list: &mut [(Option<f64>, T)], descending: bool) {
    list.sort_by(|(one, a), (other, b)| {
        let by_figure = match (one, other) {
            (Some(one), Some(other)) if descending => other.total_cmp(one),
            (Some(one), Some(other)) => one.total_cmp(other),
            (one, other) => one.is_none().cmp(&other.is_none()),
        };
        by_figure.then_with(|| a.cmp(b))
    });
}

fn is_as<T: PartialEq + std::fmt::Debug>(
    found: &[Ranked<T>],
    expected: &[(Option<f64>, T)],
    ranking: Ranking,
) {
    assert_eq!(found.len(), expected.len(), "{ranking:?}");
    for (found, (figure, item)) in found.iter().zip(expected) {
        assert_eq!(&found.item, item, "{ranking:?}");
        let close = match (found.figure, *figure) {
            (Some(one), Some(other)) => (one - other).abs() < 1e-9,
            (one, other) => one == other,
        };
        assert!(close, "{ranking:?}: {:?} and {figure:?}", found.figure);
    }
}

async fn rankings_are_those_of_the_statistics(place: &Place) {
    let (writer, store) = place.open().await;
    writer.write(batch(calls())).await.unwrap();
    let everything = || PageRequest {
        first: Some(500),
        ..PageRequest::default()
    };
    for filter in filters() {
        let tools = store.tools(&filter, everything()).await.unwrap().items;
        assert_eq!(tools.len(), 30);
        for ranking in rankings() {
            let mut expected: Vec<(Option<f64>, Tool)> = Vec::new();
            for tool in &tools {
                let of = CallFilter {
                    servers: vec![tool.server.clone()],
                    tools: vec![tool.name.clone()],
                    ..filter.clone()
                };
                expected.push((figure(&store, ranking, of).await, tool.clone()));
            }
            sort(&mut expected, ranking.descending);
            let mut walked: Vec<Ranked<Tool>> = Vec::new();
            loop {
                let after = walked.last().cloned();
                let page = store.ranked_tools(&filter, ranking, 7, after).await.unwrap();
                assert_eq!(page.has_previous, !walked.is_empty());
                walked.extend(page.items);
                if !page.has_next {
                    break;
                }
                assert_eq!(walked.len() % 7, 0);
            }
            is_as(&walked, &expected, ranking);
        }
    }
    let servers = store.servers(PageRequest::default()).await.unwrap().items;
    for ranking in rankings() {
        let mut expected = Vec::new();
        for server in &servers {
            let of = CallFilter {
                servers: vec![server.name.clone()],
                ..CallFilter::default()
            };
            expected.push((figure(&store, ranking, of).await, server.name.clone()));
        }
        sort(&mut expected, ranking.descending);
        let page = store.ranked_servers(&[], ranking, 500, None).await.unwrap();
        assert!(page.items.iter().all(|ranked| servers.contains(&ranked.item)));
        let named = |ranked: &Ranked<mcptap_store::Server>| Ranked {
            figure: ranked.figure,
            item: ranked.item.name.clone(),
        };
        let found: Vec<Ranked<String>> = page.items.iter().map(named).collect();
        is_as(&found, &expected, ranking);
        let second = found.get(1).cloned();
        let rest = store.ranked_servers(&[], ranking, 500, second).await.unwrap();
        let rest: Vec<Ranked<String>> = rest.items.iter().map(named).collect();
        assert_eq!(rest, found[2..]);
        let bound = store
            .ranked_servers(&["a".into(), "nobody".into()], ranking, 500, None)
            .await
            .unwrap();
        assert_eq!(bound.items.len(), 1);
        assert_eq!(bound.items[0].item.name, "a");
    }
}

async fn a_ranking_takes_no_more_memory_than_there_is(place: &Place) {
    let (writer, store) = place.open().await;
    let calls = |from: u64| {
        (from..from + 2_000).map(|number| Call {
            tool: Some(format!("tool {number:05}")),
            ..plain(number)
        })
    };
    for from in (1..8_000).step_by(2_000) {
        writer.write(batch(calls(from))).await.unwrap();
    }
    let (_writer, small) = place
        .open_with(Options {
            retention: None,
            memory_budget: 500_000,
            ..Options::default()
        })
        .await;
    let by = |by| Ranking { by, descending: true };
    let all = CallFilter::default();
    let page = store.ranked_tools(&all, by(Figure::P95), 3, None).await.unwrap();
    let names: Vec<&str> = page
        .items
        .iter()
        .map(|ranked| ranked.item.name.as_str())
        .collect();
    assert_eq!(names, ["tool 00001", "tool 00002", "tool 00003"]);
    let refused = small.ranked_tools(&all, by(Figure::P95), 3, None).await;
    assert!(matches!(refused, Err(Error::Memory(_))), "{refused:?}");
    // What it took is there again.
    let few = CallFilter {
        tools: vec!["tool 00007".into()],
        ..CallFilter::default()
    };
    for figure in Figure::ALL {
        let page = small.ranked_tools(&few, by(figure), 3, None).await.unwrap();
        assert_eq!(page.items.len(), 1);
    }
}
