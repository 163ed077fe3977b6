//! How contexts travel in requests of the application: the global propagator of OpenTelemetry.

use opentelemetry::global;
use opentelemetry::propagation::{TextMapCompositePropagator, TextMapPropagator};
use opentelemetry_sdk::propagation::{BaggagePropagator, TraceContextPropagator};

use super::notice::warn;
use super::settings::variable;

type Propagator = Box<dyn TextMapPropagator + Send + Sync>;

/// Sets the one that was chosen in code. Where none was, the ones that `OTEL_PROPAGATORS` names, unless the application has
/// set one itself.
pub(super) fn set_global(chosen: Option<Propagator>) {
    if let Some(chosen) = chosen {
        global::set_text_map_propagator(TextMapCompositePropagator::new(vec![chosen]));
        return;
    }
    if global::get_text_map_propagator(|known| known.fields().next().is_some()) {
        return;
    }
    let names = variable("OTEL_PROPAGATORS").unwrap_or_else(|| "tracecontext,baggage".to_owned());
    let (propagators, unknown) = named(&names);
    for name in unknown {
        warn(format_args!(
            "OTEL_PROPAGATORS names {name:?}, which is ignored: tracecontext, baggage and none are offered; others can be set \
             in code, by Telemetry::propagator"
        ));
    }
    if !propagators.is_empty() {
        global::set_text_map_propagator(TextMapCompositePropagator::new(propagators));
    }
}

/// The propagators of a list, and the names in it that are not known.
fn named(names: &str) -> (Vec<Propagator>, Vec<&str>) {
    let names: Vec<&str> = names.split(',').map(str::trim).collect();
    let has = |name| names.contains(&name);
    let mut propagators: Vec<Propagator> = Vec::new();
    if has("tracecontext") && !has("none") {
        propagators.push(Box::new(TraceContextPropagator::new()));
    }
    if has("baggage") && !has("none") {
        propagators.push(Box::new(BaggagePropagator::new()));
    }
    let known = ["tracecontext", "baggage", "none", ""];
    let unknown = names.into_iter().filter(|name| !known.contains(name));
    (propagators, unknown.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn propagators_are_called_as_the_specification_calls_them() {
        let of = |names| {
            let (propagators, unknown) = named(names);
            let fields = TextMapCompositePropagator::new(propagators);
            let mut fields: Vec<String> = fields.fields().map(str::to_owned).collect();
            fields.sort();
            (fields.join(" "), unknown)
        };
        assert_eq!(
            of("tracecontext,baggage"),
            ("baggage traceparent tracestate".to_owned(), vec![])
        );
        assert_eq!(of(" baggage ,"), ("baggage".to_owned(), vec![]));
        assert_eq!(of("none"), (String::new(), vec![]));
        assert_eq!(
            of("b3,tracecontext"),
            ("traceparent tracestate".to_owned(), vec!["b3"])
        );
    }
}
