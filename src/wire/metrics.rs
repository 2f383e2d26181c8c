//! Metrics for who does not know OpenMetrics.
//!
//! The registry writes OpenMetrics, and `internal` sends that to whoever asks for it. The format before it, 0.0.4, has the
//! same samples, but calls a family as its samples are called, and knows neither `info` nor units: a reader of that format
//! takes a counter of another name for untyped, and gives up the whole text at a type it does not know.

/// The same metrics in the text format 0.0.4.
pub fn prometheus_text(open_metrics: &str) -> String {
    let mut text = String::with_capacity(open_metrics.len() + open_metrics.len() / 16);
    // What a family is called shows only at its type, which comes behind its help.
    let mut help = None;
    for line in open_metrics.lines() {
        let Some((keyword, name, rest)) = metadata(line) else {
            if !line.starts_with('#') {
                text.extend([line, "\n"]);
            }
            continue;
        };
        match keyword {
            "HELP" => help = Some(rest),
            "TYPE" => {
                let (suffix, kind) = match rest {
                    "counter" => ("_total", "counter"),
                    "info" => ("_info", "gauge"),
                    "unknown" => ("", "untyped"),
                    kind => ("", kind),
                };
                if let Some(help) = help.take() {
                    text.extend(["# HELP ", name, suffix, " ", help, "\n"]);
                }
                text.extend(["# TYPE ", name, suffix, " ", kind, "\n"]);
            }
            _ => {}
        }
    }
    text
}

/// The keyword, the family and the rest of a line like `# TYPE name counter`.
fn metadata(line: &str) -> Option<(&str, &str, &str)> {
    let mut words = line.strip_prefix("# ")?.splitn(3, ' ');
    Some((words.next()?, words.next()?, words.next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_is_called_as_its_samples_are() {
        let open = "# HELP a_seconds How long it took.\n# TYPE a_seconds histogram\n# UNIT a_seconds seconds\n\
                    a_seconds_sum 1.5\na_seconds_count 2\na_seconds_bucket{le=\"+Inf\"} 2\n\
                    # HELP b What was counted.\n# TYPE b counter\nb_total{of=\"# TYPE b\"} 3\n\
                    # HELP build What was built.\n# TYPE build info\nbuild_info{version=\"1\"} 1\n\
                    # HELP c Open.\n# TYPE c gauge\nc 4\n# EOF\n";
        let older = "# HELP a_seconds How long it took.\n# TYPE a_seconds histogram\n\
                     a_seconds_sum 1.5\na_seconds_count 2\na_seconds_bucket{le=\"+Inf\"} 2\n\
                     # HELP b_total What was counted.\n# TYPE b_total counter\nb_total{of=\"# TYPE b\"} 3\n\
                     # HELP build_info What was built.\n# TYPE build_info gauge\nbuild_info{version=\"1\"} 1\n\
                     # HELP c Open.\n# TYPE c gauge\nc 4\n";
        assert_eq!(prometheus_text(open), older);
    }

    #[test]
    fn a_family_without_a_help_has_a_type_all_the_same() {
        assert_eq!(
            prometheus_text("# TYPE a unknown\na 1\n# EOF\n"),
            "# TYPE a untyped\na 1\n"
        );
    }
}
