//! The environment of a container's processes, by docker's rules.

/// `PATH` for an image that sets none.
pub(crate) const DEFAULT_PATH: &str =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The whole environment: what every container has, then what image, command line and exec say. A later entry replaces an
/// earlier one in its place; `NAME` alone removes it.
pub(crate) fn complete(hostname: &str, terminal: bool, settings: &[&[String]]) -> Vec<String> {
    let mut environment = vec![
        format!("PATH={DEFAULT_PATH}"),
        format!("HOSTNAME={hostname}"),
    ];
    if terminal {
        environment.push("TERM=xterm".to_owned());
    }
    for setting in settings.iter().copied().flatten() {
        set(&mut environment, setting);
    }
    environment
}

/// Applies one `NAME=value` or `NAME`.
pub(crate) fn set(environment: &mut Vec<String>, setting: &str) {
    let name = name_of(setting);
    let position = environment.iter().position(|entry| name_of(entry) == name);
    match (position, setting.contains('=')) {
        (Some(position), true) => setting.clone_into(&mut environment[position]),
        (None, true) => environment.push(setting.to_owned()),
        (Some(position), false) => {
            environment.remove(position);
        }
        (None, false) => {}
    }
}

/// Adds `HOME` unless somebody chose it.
pub(crate) fn add_home(environment: &mut Vec<String>, home: &str) {
    if !environment.iter().any(|entry| name_of(entry) == "HOME") {
        environment.push(format!("HOME={home}"));
    }
}

fn name_of(entry: &str) -> &str {
    entry.split_once('=').map_or(entry, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|&text| text.to_owned()).collect()
    }

    #[test]
    fn later_settings_win_in_place() {
        let image = strings(&["PATH=/image", "A=1", "B=2"]);
        let command = strings(&["A=x=y", "B", "C=", "HOSTNAME=mine"]);
        assert_eq!(
            complete("box", true, &[&image, &command]),
            ["PATH=/image", "HOSTNAME=mine", "TERM=xterm", "A=x=y", "C="]
        );
        assert_eq!(
            complete("box", false, &[]),
            [format!("PATH={DEFAULT_PATH}"), "HOSTNAME=box".to_owned()]
        );
    }

    #[test]
    fn home_comes_last_and_only_when_missing() {
        let mut environment = strings(&["A=1"]);
        add_home(&mut environment, "/root");
        add_home(&mut environment, "/other");
        assert_eq!(environment, ["A=1", "HOME=/root"]);
    }
}
