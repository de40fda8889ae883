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
    assert_shown!(env, finished, @r#"
    exit code 1
    ----- stderr
    error[K0002]: unknown instruction: RUM (did you mean RUN?)
     --> [ENV]/context/Dockerfile:2:1
      |
    2 | RUM echo hello
      | ^^^
      |
      = note: dockerfile parse error on line 2: unknown instruction: RUM (did you mean RUN?)
    help: write RUN
      |
    2 - RUM echo hello
    2 + RUN echo hello
      |
    "#);
}

fn a_file_that_the_context_lacks(env: &TestEnv) {
    env.write("app/main.txt", "");
    let finished = env.build("FROM base\nCOPY app/mian.txt /app/\n", &[]);
    assert_shown!(env, finished, @r#"
    exit code 1
    ----- stderr
    error: failed to calculate checksum of ref context: "/app/mian.txt": not found
      --> [ENV]/context/Dockerfile:2
    2 | COPY app/mian.txt /app/
    "#);
}

fn a_command_that_fails(env: &TestEnv) {
    let dockerfile = "FROM base\nRUN echo to the output && echo to the errors >&2 && exit 7\n";
    let finished = env.build(dockerfile, &[]);
    assert_shown!(env, finished, @r#"
    exit code 1
    ----- stderr
    #0 [1/2] FROM docker.io/library/base:latest
    #0 CACHED
    #1 [2/2] RUN echo to the output && echo to the errors >&2 && exit 7
    #1 [TIME] to the output
    #1 [TIME] to the errors
    #1 FAILED [2/2] RUN echo to the output && echo to the errors >&2 && exit 7
    error: process "/bin/sh -c echo to the output && echo to the errors >&2 && exit 7" did not complete successfully: exit code: 7
      --> [ENV]/context/Dockerfile:2
    2 | RUN echo to the output && echo to the errors >&2 && exit 7
    whole output: [ENV]/store/logs/[BUILD]/step-001.log
    "#);
}

fn a_registry_that_is_down(env: &TestEnv) {
    let image = format!("{}/some/image:1", free_address().unwrap());
    assert_shown!(env, env.run(&["pull", &image]), @r#"
    exit code 1
    ----- stderr
    error: GET http://[REGISTRY]/v2/some/image/manifests/1: cannot connect: Connection refused (os error 111)
    "#);
    env.ok(&["tag", "base", &image]);
    assert_shown!(env, env.run(&["push", &image]), @r#"
    exit code 1
    ----- stderr
    error: POST http://[REGISTRY]/v2/some/image/blobs/uploads/?mount=[DIGEST]&from=some/image: cannot connect: Connection refused (os error 111)
    "#);
}

fn credentials_that_are_refused(env: &TestEnv) {
    let login = Login {
        user: "ada".into(),
        password: "right".into(),
    };
    let registry = env.another_registry("closed", Some(&login));
    let image = format!("{}/some/image:1", registry.host());
    env.ok(&["tag", "base", &image]);
    assert_shown!(env, env.run(&["push", &image]), @r#"
    exit code 1
    ----- stderr
    error: [REGISTRY] refuses access to some/image (pull, push): authentication required (UNAUTHORIZED); no credentials are known for it; `kiln login [REGISTRY]` stores them
    hint: `kiln login [REGISTRY]` stores credentials
    "#);
    let wrong = [
        "login",
        "--username",
        "ada",
        "--password",
        "wrong",
        &registry.host(),
    ];
    assert_shown!(env, env.run(&wrong), @r#"
    exit code 1
    ----- stderr
    warning: a password on the command line is seen by others: use --password-stdin
    error: [REGISTRY] refuses access to the registry: authentication required (UNAUTHORIZED); the credentials from the command line were sent
    "#);
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
    assert_shown!(env, env.run(&["pull", &image]), @r#"
    exit code 1
    ----- stderr
    error: [REGISTRY] refuses access to some/image (pull): 401 Unauthorized; no credentials are known for it; `kiln login [REGISTRY]` stores them
    hint: `kiln login [REGISTRY]` stores credentials
    "#);
}

fn an_image_that_does_not_exist(env: &TestEnv) {
    let image = env.remote("no/such:1");
    assert_shown!(env, env.run(&["pull", &image]), @r#"
    exit code 1
    ----- stderr
    error: [REGISTRY]/no/such:1 not found
    "#);
    assert_shown!(env, env.build(&format!("FROM {image}\n"), &[]), @r#"
    exit code 1
    ----- stderr
    pulling [REGISTRY]/no/such:1
    error[K1002]: failed to resolve source metadata for [REGISTRY]/no/such:1: [REGISTRY]/no/such:1 not found
     --> [ENV]/context/Dockerfile:1:6
      |
    1 | FROM [REGISTRY]/no/such:1
      |      ^^^^^^^^^^^^^^^^^^^^^^^^^
    "#);
}

fn wrong_usage(env: &TestEnv) {
    assert_shown!(env, env.run(&["build"]), @r#"
    exit code 2
    ----- stderr
    error: the following required arguments were not provided:
      <CONTEXT>

    Usage: kiln build <CONTEXT>

    For more information, try '--help'.
    "#);
    assert_shown!(env, env.run(&["run", "--no-such-flag", "base"]), @r#"
    exit code 125
    ----- stderr
    error: unexpected argument '--no-such-flag' found

      tip: to pass '--no-such-flag' as a value, use '-- --no-such-flag'

    Usage: kiln run [OPTIONS] <IMAGE> [COMMAND]...

    For more information, try '--help'.
    "#);
    assert_shown!(env, env.run(&["exec", "no-such-container", "true"]), @r#"
    exit code 1
    ----- stderr
    error: No such container: no-such-container
    "#);
}
