//! Which spans are sent: what was chosen in code, else `OTEL_TRACES_SAMPLER`, else all.

use opentelemetry_sdk::trace::{Sampler, ShouldSample};

use super::notice::warn;
use super::settings::variable;

/// The sampler, and whether it leaves out no span that has no parent.
pub(super) fn choose(chosen: Option<Box<dyn ShouldSample>>) -> (Box<dyn ShouldSample>, bool) {
    if let Some(chosen) = chosen {
        return (chosen, false);
    }
    // The specification's default asks the parent, so that a client which does not sample would hide its calls.
    let all = || (Sampler::AlwaysOn, true);
    let Some(name) = variable("OTEL_TRACES_SAMPLER") else {
        let (sampler, is_all) = all();
        return (Box::new(sampler), is_all);
    };
    let argument = variable("OTEL_TRACES_SAMPLER_ARG");
    let (sampler, is_all) = named(&name, argument.as_deref()).unwrap_or_else(|| {
        warn(format_args!(
            "OTEL_TRACES_SAMPLER is {name:?}, which is ignored: always_on, always_off, traceidratio, parentbased_always_on, \
             parentbased_always_off and parentbased_traceidratio are offered; every span is sent"
        ));
        all()
    });
    (Box::new(sampler), is_all)
}

/// The sampler that is called so by the specification, if it is offered.
fn named(name: &str, argument: Option<&str>) -> Option<(Sampler, bool)> {
    let by_parent = |sampler| Sampler::ParentBased(Box::new(sampler));
    Some(match name {
        "always_on" => (Sampler::AlwaysOn, true),
        "always_off" => (Sampler::AlwaysOff, false),
        "traceidratio" => (by_ratio(argument), false),
        "parentbased_always_on" => (by_parent(Sampler::AlwaysOn), true),
        "parentbased_always_off" => (by_parent(Sampler::AlwaysOff), false),
        "parentbased_traceidratio" => (by_parent(by_ratio(argument)), false),
        _ => return None,
    })
}

fn by_ratio(argument: Option<&str>) -> Sampler {
    let ratio = argument.map(str::parse::<f64>);
    match ratio {
        Some(Ok(ratio)) if (0.0..=1.0).contains(&ratio) => Sampler::TraceIdRatioBased(ratio),
        _ => {
            warn(format_args!(
                "OTEL_TRACES_SAMPLER_ARG is {:?}, which is no number from 0 to 1, and is ignored: the ratio is 1",
                argument.unwrap_or_default()
            ));
            Sampler::TraceIdRatioBased(1.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samplers_are_called_as_the_specification_calls_them() {
        let of =
            |name, argument| named(name, argument).map(|(sampler, is_all)| (format!("{sampler:?}"), is_all));
        let is = |text: &str, is_all| Some((text.to_owned(), is_all));
        assert_eq!(of("always_on", None), is("AlwaysOn", true));
        assert_eq!(of("always_off", None), is("AlwaysOff", false));
        assert_eq!(
            of("traceidratio", Some("0.25")),
            is("TraceIdRatioBased(0.25)", false)
        );
        assert_eq!(
            of("traceidratio", Some("25%")),
            is("TraceIdRatioBased(1.0)", false)
        );
        assert_eq!(of("traceidratio", Some("2")), is("TraceIdRatioBased(1.0)", false));
        assert_eq!(
            of("parentbased_traceidratio", Some("0.5")),
            is("ParentBased(TraceIdRatioBased(0.5))", false)
        );
        assert_eq!(
            of("parentbased_always_on", None),
            is("ParentBased(AlwaysOn)", true)
        );
        assert_eq!(of("always_onn", None), None);
        assert_eq!(of("jaeger_remote", None), None);
    }
}
