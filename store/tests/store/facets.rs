//! Menus and servers.

use mcptap_model::{Call, CallFilter, Outcome};
use mcptap_store::{Error, Facet, FacetSet, Facets, Options, PageRequest, Tool};

use crate::support::{Place, batch, full, on_both, plain};

on_both!(
    menus_follow_all_other_parts_of_the_filter,
    only_what_is_wanted_is_computed,
    servers_come_by_name,
    long_menus_say_that_there_is_more,
    tools_come_in_pages_in_both_directions,
    values_are_counted_within_the_memory_budget,
);

fn counts(facets: &[Facet]) -> Vec<(&str, u64)> {
    facets
        .iter()
        .map(|facet| (facet.value.as_str(), facet.count))
        .collect()
}

fn some_calls() -> impl Iterator<Item = Call> {
    let on = |number: u64, server: &str, tool: &str, country: Option<&str>| Call {
        server: Some(server.into()),
        tool: Some(tool.into()),
        country: country.map(Into::into),
        client_version: Some(number.to_string()),
        http_status: number.is_multiple_of(2).then_some(200),
        ..plain(number)
    };
    [
        on(1, "shop", "buy", Some("IS")),
        on(2, "shop", "sell", Some("IS")),
        on(3, "shop", "sell", Some("DE")),
        on(4, "bank", "pay", None),
        on(5, "bank", "buy", Some("JP")),
    ]
    .into_iter()
    .chain([Call {
        tool: None,
        method: "ping".into(),
        ..full(6)
    }])
}

async fn menus_follow_all_other_parts_of_the_filter(place: &Place) {
    let (writer, store) = place.open().await;
    writer.write(batch(some_calls())).await.unwrap();
    let search = mcptap_model::search::Query::parse("*");
    for search in [None, Some(search)] {
        let all = CallFilter {
            search,
            ..CallFilter::default()
        };
        let facets = store.facets(&all, FacetSet::ALL).await.unwrap();
        assert_eq!(
            counts(&facets.servers),
            [("shop", 3), ("bank", 2), ("shop-mcp", 1)]
        );
        assert_eq!(counts(&facets.tools), [("buy", 2), ("sell", 2), ("pay", 1)]);
        assert_eq!(counts(&facets.methods), [("tools/call", 5), ("ping", 1)]);
        assert_eq!(counts(&facets.http_statuses), [("200", 3)]);
        assert_eq!(counts(&facets.outcomes), [("OK", 5), ("TOOL_ERROR", 1)]);
        assert_eq!(counts(&facets.countries), [("IS", 3), ("DE", 1), ("JP", 1)]);
        assert_eq!(counts(&facets.clients), [("cursor", 1)]);

        let of_shop = CallFilter {
            servers: vec!["shop".into()],
            ..all
        };
        let facets = store.facets(&of_shop, FacetSet::ALL).await.unwrap();
        assert_eq!(facets.servers.len(), 3, "its own list is whole");
        assert_eq!(counts(&facets.tools), [("sell", 2), ("buy", 1)]);
        assert_eq!(counts(&facets.countries), [("IS", 2), ("DE", 1)]);

        let narrow = CallFilter {
            countries: vec!["IS".into()],
            outcomes: vec![Outcome::Ok],
            ..of_shop
        };
        let facets = store.facets(&narrow, FacetSet::ALL).await.unwrap();
        assert_eq!(counts(&facets.servers), [("shop", 2)]);
        assert_eq!(counts(&facets.countries), [("IS", 2), ("DE", 1)]);
        assert_eq!(counts(&facets.tools), [("buy", 1), ("sell", 1)]);
    }
}

async fn only_what_is_wanted_is_computed(place: &Place) {
    let (writer, store) = place.open().await;
    writer.write(batch(some_calls())).await.unwrap();
    let wanted = FacetSet {
        methods: true,
        ..FacetSet::default()
    };
    let facets = store.facets(&CallFilter::default(), wanted).await.unwrap();
    assert_eq!(facets.methods.len(), 2);
    assert_eq!(
        Facets {
            methods: Vec::new(),
            ..facets
        },
        Facets::default()
    );
}

async fn servers_come_by_name(place: &Place) {
    let (writer, store) = place.open().await;
    let names = ["b", "Z", "a", "é", "A", "_"];
    let calls = names.iter().zip(1..).flat_map(|(name, number)| {
        [number, number + 100].map(|number| Call {
            server: Some((*name).into()),
            ..plain(number)
        })
    });
    writer.write(batch(calls)).await.unwrap();
    let mut read = Vec::new();
    let mut after = None;
    loop {
        let page = store
            .servers(PageRequest {
                first: Some(4),
                after,
                ..PageRequest::default()
            })
            .await
            .unwrap();
        after = page.items.last().map(|server| server.name.clone());
        read.extend(page.items);
        if !page.has_next {
            break;
        }
    }
    assert_eq!(
        read.iter().map(|server| server.name.as_str()).collect::<Vec<_>>(),
        ["A", "Z", "_", "a", "b", "é"]
    );
    let last = store
        .servers(PageRequest {
            last: Some(2),
            ..PageRequest::default()
        })
        .await
        .unwrap();
    assert_eq!(last.items, read[4..]);
    assert!(last.has_previous && !last.has_next);
    let z = store.server("Z").await.unwrap().unwrap();
    assert_eq!(
        (z.first_seen_at, z.last_seen_at),
        (plain(2).started_at, plain(102).started_at)
    );
    assert_eq!(store.server("nobody").await.unwrap(), None);
}

async fn long_menus_say_that_there_is_more(place: &Place) {
    let (writer, store) = place.open().await;
    let calls = (1..=1_001u64).map(|number| Call {
        tool: Some(format!("tool {number:04}")),
        client_name: Some(format!("client {}", number % 1_000)),
        ..plain(number)
    });
    writer.write(batch(calls)).await.unwrap();
    for search in ["", "*", "absent"] {
        let filter = CallFilter {
            not: (search == "absent").then(|| {
                Box::new(CallFilter {
                    search: Some(mcptap_model::search::Query::parse("\"a b absent\"")),
                    ..CallFilter::default()
                })
            }),
            ..CallFilter::default()
        };
        let facets = store.facets(&filter, FacetSet::ALL).await.unwrap();
        assert_eq!((facets.tools.len(), facets.clients.len()), (1_000, 1_000));
        let more = FacetSet {
            tools: true,
            ..FacetSet::default()
        };
        assert_eq!(facets.more, more, "{search}");
    }
}

async fn tools_come_in_pages_in_both_directions(place: &Place) {
    let (writer, store) = place.open().await;
    let on = |number: u64| Call {
        server: Some(format!("server {}", number % 3)),
        tool: (!number.is_multiple_of(5)).then(|| format!("T{}", number % 4)),
        ..plain(number)
    };
    writer.write(batch((1..=120).map(on))).await.unwrap();
    let mut all: Vec<Tool> = (1..=120)
        .map(on)
        .filter_map(|call| {
            Some(Tool {
                name: call.tool?,
                server: call.server?,
            })
        })
        .collect();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 12);
    let filters = [
        CallFilter::default(),
        // Here texts decide.
        CallFilter {
            not: Some(Box::new(CallFilter {
                search: Some(mcptap_model::search::Query::parse("\"a b absent\"")),
                ..CallFilter::default()
            })),
            ..CallFilter::default()
        },
    ];
    for filter in filters {
        for backward in [false, true] {
            let mut walked: Vec<Tool> = Vec::new();
            loop {
                let page = PageRequest {
                    first: (!backward).then_some(5),
                    after: walked.last().filter(|_| !backward).cloned(),
                    last: backward.then_some(5),
                    before: walked.first().filter(|_| backward).cloned(),
                };
                let begun = !walked.is_empty();
                let page = store.tools(&filter, page).await.unwrap();
                let (ahead, behind) = if backward {
                    walked.splice(0..0, page.items);
                    (page.has_previous, page.has_next)
                } else {
                    walked.extend(page.items);
                    (page.has_next, page.has_previous)
                };
                assert_eq!(behind, begun);
                if !ahead {
                    break;
                }
            }
            assert_eq!(walked, all, "backward {backward}");
        }
    }
    let known = store.tool("server 1", "T1").await.unwrap();
    assert_eq!(known.map(|tool| tool.name).as_deref(), Some("T1"));
    assert_eq!(store.tool("server 1", "T9").await.unwrap(), None);
}

/// Where texts decide which calls are meant, all values are counted here, however many there are.
async fn values_are_counted_within_the_memory_budget(place: &Place) {
    let (writer, store) = place.open().await;
    let calls = |from: u64| {
        (from..from + 2_000).map(|number| Call {
            tool: Some(format!("tool {number:05}")),
            client_name: Some(format!("client {number:05}")),
            ..plain(number)
        })
    };
    for from in (1..12_000).step_by(2_000) {
        writer.write(batch(calls(from))).await.unwrap();
    }
    let rare = [(20_000, "a first"), (20_001, "zz last")].map(|(number, tool)| Call {
        method: "prompts/get".into(),
        tool: Some(tool.into()),
        ..plain(number)
    });
    writer.write(batch(rare)).await.unwrap();
    let (_writer, small) = place
        .open_with(Options {
            retention: None,
            memory_budget: 600_000,
            ..Options::default()
        })
        .await;
    let by_texts = CallFilter {
        not: Some(Box::new(CallFilter {
            search: Some(mcptap_model::search::Query::parse("\"a b absent\"")),
            ..CallFilter::default()
        })),
        ..CallFilter::default()
    };
    let all = CallFilter::default();
    let page = || PageRequest {
        first: Some(3),
        ..PageRequest::default()
    };
    for wanted in [
        FacetSet {
            tools: true,
            ..FacetSet::default()
        },
        FacetSet {
            clients: true,
            ..FacetSet::default()
        },
    ] {
        let refused = small.facets(&by_texts, wanted).await;
        assert!(matches!(refused, Err(Error::Memory(_))), "{refused:?}");
        assert_eq!(
            small.facets(&all, wanted).await.unwrap(),
            store.facets(&by_texts, wanted).await.unwrap()
        );
    }
    let refused = small.tools(&by_texts, page()).await;
    assert!(matches!(refused, Err(Error::Memory(_))), "{refused:?}");
    assert_eq!(
        small.tools(&all, page()).await.unwrap(),
        store.tools(&by_texts, page()).await.unwrap()
    );
    // Names are read in parts: both ends are found, whatever is between.
    let rare = CallFilter {
        methods: vec!["prompts/get".into()],
        ..CallFilter::default()
    };
    let backward = PageRequest {
        last: Some(3),
        ..PageRequest::default()
    };
    for page in [page(), backward] {
        let found = store.tools(&rare, page).await.unwrap().items;
        let names: Vec<&str> = found.iter().map(|tool| tool.name.as_str()).collect();
        assert_eq!(names, ["a first", "zz last"]);
    }
    // What is left over is there for others.
    assert_eq!(
        small
            .facets(
                &CallFilter {
                    tools: vec!["tool 00007".into()],
                    ..by_texts.clone()
                },
                FacetSet {
                    methods: true,
                    ..FacetSet::default()
                }
            )
            .await
            .unwrap()
            .methods
            .len(),
        1
    );
}
