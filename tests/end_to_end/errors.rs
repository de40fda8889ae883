//! What goes wrong says what and where, and exits with a code that is not zero.

use xtask::docker_registry::{Login, free_address};

use crate::support::{TestEnv, assert_shown, scenarios};

scenarios!(
    an_unknown_instruction,
    a_file_that_the_context_lacks,
    a_command_that_fails,
    a_registry_that_is_down,
    credentials_that_are_refused,
    an_image_that_does_not_exist,
    wrong_usage,
);

fn an_unknown_instruction(env: &TestEnv) {
    let finished = env.build("FROM base\nRUM echo hello\n", &[]);
    assert_shown!(env, finished, @"");
}

fn a_file_that_the_context_lacks(env: &TestEnv) {
    env.write("app/main.txt", "");
    let finished = env.build("FROM base\nCOPY app/mian.txt /app/\n", &[]);
    assert_shown!(env, finished, @"");
}

fn a_command_that_fails(env: &TestEnv) {
    let dockerfile = "FROM base\nRUN echo to the output && echo to the errors >&2 && exit 7\n";
    let finished = env.build(dockerfile, &[]);
    assert_shown!(env, finished, @"");
}

fn a_registry_that_is_down(env: &TestEnv) {
    let image = format!("{}/some/image:1", free_address().unwrap());
    assert_shown!(env, env.run(&["pull", &image]), @"");
    env.ok(&["tag", "base", &image]);
    assert_shown!(env, env.run(&["push", &image]), @"");
}

fn credentials_that_are_refused(env: &TestEnv) {
    let login = Login {
        user: "ada".into(),
        password: "right".into(),
    };
    let registry = env.another_registry("closed", Some(&login));
    let image = format!("{}/some/image:1", registry.host());
    env.ok(&["tag", "base", &image]);
    assert_shown!(env, env.run(&["push", &image]), @"");
    let wrong = [
        "login",
        "--username",
        "ada",
        "--password",
        "wrong",
        &registry.host(),
    ];
    assert_shown!(env, env.run(&wrong), @"");
    env.ok(&[
        "login",
        "--username",
        "ada",
        "--password",
        "right",
        &registry.host(),
    ]);
    env.ok(&["push", &image]);
    env.ok(&["logout", &registry.host()]);
    assert_shown!(env, env.run(&["pull", &image]), @"");
}

fn an_image_that_does_not_exist(env: &TestEnv) {
    let image = env.remote("no/such:1");
    assert_shown!(env, env.run(&["pull", &image]), @"");
    assert_shown!(env, env.build(&format!("FROM {image}\n"), &[]), @"");
}

fn wrong_usage(env: &TestEnv) {
    assert_shown!(env, env.run(&["build"]), @"");
    assert_shown!(env, env.run(&["run", "--no-such-flag", "base"]), @"");
    assert_shown!(env, env.run(&["exec", "no-such-container", "true"]), @"");
}
