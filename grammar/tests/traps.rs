//! The traps that every other implementation fell into, as far as text alone decides them. Numbers are those of the list that the
//! project keeps of them; what is missing here needs a build and is tested there.

#![allow(clippy::unwrap_used, reason = "a test that fails should say where")]

use std::collections::BTreeMap;

use kiln_grammar::ast::Separator;
use kiln_grammar::heredoc::{RunScript, run_script};
use kiln_grammar::mount::Mount;
use kiln_grammar::scope::{Environment, GlobalScope, StageScope};
use kiln_grammar::stages::Stages;
use kiln_grammar::{
    CommandForm, Dockerfile, Healthcheck, Instruction, InstructionKind, Source, expand, ignore,
    mode, mount, parse, ports,
};

/// The file, which must have no errors.
fn file(text: &str) -> Dockerfile {
    parse(text)
        .into_result()
        .unwrap_or_else(|errors| panic!("{text}: {errors:#?}"))
}

fn errors(text: &str) -> Vec<String> {
    let parsed = parse(text);
    parsed
        .diagnostics
        .into_iter()
        .map(|diagnostic| diagnostic.message)
        .collect()
}

fn args(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

/// The scope at the end of the last stage of `text`.
fn scope_of(text: &str, build_args: &[(&str, &str)]) -> (GlobalScope, StageScope) {
    let file = file(text);
    let build_args = args(build_args);
    let Stages {
        global_args,
        stages,
        ..
    } = file.stages();
    let mut globals = GlobalScope::new([], &build_args);
    for instruction in global_args {
        if let InstructionKind::Arg(declarations) = &instruction.kind {
            globals
                .declare(declarations, file.directives.escape, &build_args)
                .unwrap();
        }
    }
    let mut scope = StageScope::new(file.directives.escape, Environment::default());
    for instruction in stages.last().unwrap().instructions {
        match &instruction.kind {
            InstructionKind::Arg(declarations) => {
                drop(scope.arg(declarations, &globals, &build_args).unwrap())
            }
            InstructionKind::Env(pairs) => drop(scope.env(pairs).unwrap()),
            _ => {}
        }
    }
    (globals, scope)
}

fn in_stage(text: &str) -> Instruction {
    file(&format!("FROM scratch\n{text}"))
        .instructions
        .swap_remove(1)
}

#[test]
fn trap_01_env_sees_the_past_arg_sees_its_line() {
    let (_, scope) = scope_of("FROM x\nENV a=1\nENV a=2 b=$a\n", &[]);
    assert_eq!(scope.expand("$a$b").unwrap(), "21");
    let (_, scope) = scope_of("FROM x\nARG a=1 b=$a\n", &[]);
    assert_eq!(scope.expand("$a$b").unwrap(), "11");
    let (globals, _) = scope_of("ARG a=1 b=$a\nFROM x\n", &[]);
    assert_eq!(globals.values().to_strings(), ["a=1", "b=1"]);
}

#[test]
fn trap_02_global_args_stay_out_of_stages() {
    let (globals, scope) = scope_of("ARG V=x\nFROM $V\nRUN echo $V\n", &[]);
    assert_eq!(expand::expand("$V", '\\', &globals).unwrap(), "x");
    assert_eq!(scope.expand("$V").unwrap(), "");
    let (_, scope) = scope_of("ARG V=x\nFROM $V\nARG V\n", &[]);
    assert_eq!(scope.expand("$V").unwrap(), "x");
}

#[test]
fn trap_03_set_but_empty() {
    let (_, scope) = scope_of("FROM x\nARG F=d\n", &[("F", "")]);
    assert_eq!(scope.expand("${F-z}").unwrap(), "");
    assert_eq!(scope.expand("${F:-z}").unwrap(), "z");
}

#[test]
fn trap_04_stage_names_are_lower_case() {
    let file = file("FROM x AS Base\nFROM Base\nCOPY --from=BASE /a /b\n");
    let stages = file.stages();
    assert_eq!(stages.stages[0].name.as_deref(), Some("base"));
    assert!(stages.base("Base", 1).is_none());
    assert!(stages.base("base", 1).is_some());
    assert!(stages.by_name("BASE").is_some());
}

#[test]
fn trap_06_json_form_and_its_fallbacks() {
    let command = |text: &str| match in_stage(text).kind {
        InstructionKind::Run(run) => run.command,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        command("RUN ['echo','x']"),
        CommandForm::Shell("['echo','x']".to_owned())
    );
    assert_eq!(
        command("RUN [\"a\"] b"),
        CommandForm::Shell("[\"a\"] b".to_owned())
    );
    assert_eq!(
        command("RUN [\"echo\", \"x\"]"),
        CommandForm::Json(vec!["echo".to_owned(), "x".to_owned()])
    );
    assert_eq!(
        errors("FROM x\nRUN [\"echo\",1]\n"),
        ["when using JSON array syntax, arrays must be comprised of strings only"]
    );
}

#[test]
fn trap_07_comments_and_blank_lines_within_a_command() {
    assert_eq!(in_stage("RUN a \\\n# c\n   b\n").text, "RUN a    b");
    let with_blank = in_stage("RUN a \\\n\n   b\n");
    assert_eq!(
        (with_blank.text.as_str(), with_blank.empty_lines.len()),
        ("RUN a    b", 1)
    );
}

#[test]
fn trap_08_two_backslashes_are_no_continuation() {
    let file = file("FROM x\nRUN a \\\\\nRUN b\n");
    assert_eq!(file.instructions.len(), 3);
    assert_eq!(file.instructions[1].text, "RUN a \\\\");
}

#[test]
fn trap_11_octal_modes_take_directories_too() {
    assert_eq!(mode::Mode::parse("644").unwrap().apply(0o755, true), 0o644);
    assert_eq!(
        mode::Mode::parse("u=rwX,go=rX").unwrap().apply(0o700, true),
        0o755
    );
}

#[test]
fn trap_15_heredocs_of_copy() {
    let body = "\\n \\$x $x \"q\"\n";
    let copy = in_stage(&format!("COPY <<EOF f\n{body}EOF\n"));
    let variables = args(&[("x", "value")]);
    assert_eq!(
        copy.heredocs[0].expanded(&variables).unwrap(),
        "n $x value \"q\"\n"
    );
    let copy = in_stage(&format!("COPY <<\"EOF\" f\n{body}EOF\n"));
    assert_eq!(copy.heredocs[0].expanded(&variables).unwrap(), body);
    let InstructionKind::Copy(copy) = copy.kind else {
        panic!()
    };
    assert_eq!(copy.transfer.sources, [Source::Heredoc(0)]);
}

#[test]
fn trap_16_tabs_before_the_delimiter() {
    let run = in_stage("RUN <<-EOF\n\techo a\n  echo b\n\tEOF\n");
    assert_eq!(run.heredocs[0].body(), "echo a\n  echo b\n");
    let InstructionKind::Run(command) = &run.kind else {
        panic!()
    };
    assert_eq!(
        run_script(command, &run.heredocs),
        RunScript::Shell("echo a\n  echo b\n".to_owned())
    );
}

#[test]
fn trap_17_a_cache_is_named_by_its_target_as_written() {
    let mount = |text: &str| {
        Mount::parse(text, |value| Ok::<_, expand::ExpandError>(value.to_owned())).unwrap()
    };
    assert_eq!(mount("type=cache,target=c").identity(), "c");
    assert_eq!(mount("type=cache,target=./c/").identity(), "c");
    assert_eq!(mount::clean_path("/a/../b//c/."), "/b/c");
}

#[test]
fn trap_18_ignore_files() {
    let patterns = |text: &str| ignore::Patterns::parse(text).unwrap();
    assert!(patterns(" # x\n").is_ignored("# x"));
    assert!(patterns("# x\n").is_empty());
    assert!(patterns("dir/\n").is_ignored("dir"));
    assert!(patterns("/a\n").is_ignored("a"));
    let kept = patterns("*\n!a/b\n");
    assert!(!kept.is_ignored("a/b") && kept.is_ignored("a/c") && kept.is_ignored("a"));
    assert!(kept.may_keep_below("a") && !kept.may_keep_below("b"));
}

#[test]
fn trap_20_expose_expands_then_splits() {
    let expose = in_stage("EXPOSE 80-81/TCP $P\n");
    let InstructionKind::Expose(words) = expose.kind else {
        panic!()
    };
    let variables = args(&[("P", "1 2/udp")]);
    let shown: Vec<String> = words
        .iter()
        .flat_map(|word| expand::expand_words(&word.text, '\\', &variables).unwrap())
        .flat_map(|word| ports::parse(&word).unwrap())
        .map(|port| port.to_string())
        .collect();
    assert_eq!(shown, ["80/tcp", "81/tcp", "1/tcp", "2/udp"]);
}

#[test]
fn trap_21_health_checks_have_no_shell_of_their_own() {
    let InstructionKind::Healthcheck(Healthcheck::Command { command, .. }) =
        in_stage("HEALTHCHECK CMD x y\n").kind
    else {
        panic!()
    };
    assert_eq!(command, CommandForm::Shell("x y".to_owned()));
}

#[test]
fn trap_22_workdir_takes_the_rest_of_the_line() {
    let InstructionKind::Workdir(word) = in_stage("WORKDIR  b/../c d \n").kind else {
        panic!()
    };
    assert_eq!(word.text, "b/../c d");
}

#[test]
fn trap_24_unreachable_stages_are_parsed_too() {
    assert_eq!(
        errors("FROM a\nFOO\nFROM b\n"),
        ["unknown instruction: FOO"]
    );
}

#[test]
fn trap_25_triggers_are_parsed_by_the_same_rules() {
    let InstructionKind::Onbuild(onbuild) = in_stage("ONBUILD COPY --from=b /x /y\n").kind else {
        panic!()
    };
    assert_eq!(onbuild.expression, "COPY --from=b /x /y");
    let InstructionKind::Copy(copy) = onbuild.trigger.kind else {
        panic!()
    };
    assert_eq!(copy.from.map(|from| from.text), Some("b".to_owned()));
}

#[test]
fn a_chain_of_triggers_is_refused_however_long() {
    let refused = ["Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"];
    assert_eq!(errors("FROM a\nONBUILD ONBUILD RUN x\n"), refused);
    assert_eq!(errors("FROM a\nONBUILD ONBUILD\n"), refused);
    let chain = format!("FROM a\n{}RUN x\n", "ONBUILD ".repeat(100_000));
    assert_eq!(errors(&chain), refused);
}

#[test]
fn trap_26_labels_in_both_forms() {
    let expanded = |text: &str| match in_stage(text).kind {
        InstructionKind::Label(pairs) => (
            StageScope::new('\\', Environment::default())
                .pairs(&pairs)
                .unwrap(),
            pairs[0].separator,
        ),
        other => panic!("{other:?}"),
    };
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    assert_eq!(
        expanded("LABEL a=b\\ c \"k x\"='v'\n"),
        (vec![pair("a", "b c"), pair("k x", "v")], Separator::Equals)
    );
    assert_eq!(
        expanded("LABEL a b c\n"),
        (vec![pair("a", "b c")], Separator::Space)
    );
}
