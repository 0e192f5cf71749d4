#include "driver/enter/enter.h"

#include "driver/enter/guest_test.h"

#include <pty.h>
#include <time.h>

#define ALL ((uint64_t)(CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC))

static bool is_running(pid_t pid) { return pid > 0 && kill(pid, 0) == 0; }

/* It is killed; somebody else reaps it. */
static bool ends(pid_t pid)
{
    struct boot end = boot_add_ms(boot_now(), WAIT_MS);
    while (is_running(pid) && boot_now().ns < end.ns)
        (void)poll(NULL, 0, 5);
    return !is_running(pid);
}

Test(enter, the_command_has_exactly_what_the_agent_has)
{
    static const char *const env[] = { "PATH=/usr/bin:/bin", "MARK=canary", NULL };
    struct house house;
    struct guest guest;
    house_init(&house, ALL, true);
    guest_run(
        &guest, &house,
        &(struct guest_spec){
            .script =
                "hostname; pwd; id -u; id -g; ls /proc/self/fd | tr '\\n' ' '; echo; "
                "env -u PWD -u _ -u SHLVL -u OLDPWD | sort; grep SigIgn /proc/self/status; "
                "grep SigBlk /proc/self/status; cat /proc/1/comm; grep ^0:: /proc/self/cgroup; "
                "echo out >&2; exit 3",
            .envp = env,
            .uid = 65534,
            .cwd = "/tmp/inside" });
    cr_assert_eq(guest.end.exec.kind, ERR_NONE, "%s", guest.end.exec.text);
    cr_expect_eq(guest.end.exec.exit_code, 3);
    cr_expect_eq(guest.end.exec.signal, 0);
    char name[17], wanted[512];
    (void)prctl(PR_GET_NAME, name);
    /* ls has opened the directory as 3 */
    (void)snprintf(wanted, sizeof(wanted),
                   HOUSE_NAME
                   "\n/tmp/inside\n65534\n65534\n0 1 2 3 \nMARK=canary\nPATH=/usr/bin:/bin\n"
                   "SigIgn:\t0000000000000000\nSigBlk:\t0000000000000000\n%s\n0::",
                   name);
    cr_expect_eq(strncmp(guest.text, wanted, strlen(wanted)), 0, "got:\n%s\nwanted:\n%s",
                 guest.text, wanted);
    cr_expect_not_null(strstr(guest.text, "/exec-test\nout\n"), "%s", guest.text);
    house_fini(&house);
}

Test(enter, another_set_of_namespaces_is_joined_as_far_as_it_differs)
{
    struct house house;
    struct guest guest;
    house_init(&house, CLONE_NEWUTS, true);
    guest_run(&guest, &house, &(struct guest_spec){ .script = "hostname; echo $$" });
    cr_assert_eq(guest.end.exec.kind, ERR_NONE, "%s", guest.end.exec.text);
    cr_expect_eq(strncmp(guest.text, HOUSE_NAME "\n", strlen(HOUSE_NAME) + 1), 0);
    cr_expect_gt(strtol(guest.text + strlen(HOUSE_NAME), NULL, 10), 10, "a PID of ours: %s",
                 guest.text);
    house_fini(&house);
}

Test(enter, the_command_runs_on_the_agents_cores)
{
    struct house house;
    struct guest guest;
    cpu_set_t own, one;
    char wanted[32];
    house_init(&house, CLONE_NEWUTS, true);
    cr_assert_eq(sched_getaffinity(0, sizeof(own), &own), 0);
    size_t last = CPU_SETSIZE - 1;
    while (!CPU_ISSET(last, &own))
        last--;
    CPU_ZERO(&one);
    CPU_SET(last, &one);
    cr_assert_eq(sched_setaffinity(house.pid, sizeof(one), &one), 0);
    guest_run(&guest, &house,
              &(struct guest_spec){ .script = "grep Cpus_allowed_list /proc/self/status" });
    (void)snprintf(wanted, sizeof(wanted), "Cpus_allowed_list:\t%zu\n", last);
    cr_expect_str_eq(guest.text, wanted);
    house_fini(&house);
}

Test(enter, tells_the_signal_that_ended_the_command)
{
    struct house house;
    struct guest guest;
    house_init(&house, ALL, true);
    guest_run(&guest, &house, &(struct guest_spec){ .script = "kill -TERM $$" });
    cr_expect_eq(guest.end.exec.exit_code, 143);
    cr_expect_eq(guest.end.exec.signal, 15);
    cr_expect_not(guest.end.exec.oom_killed);
    house_fini(&house);
}

Test(enter, what_is_left_behind_dies)
{
    for (int has_cgroup = 0; has_cgroup < 2; has_cgroup++) {
        struct house house;
        struct guest guest;
        house_init(&house, has_cgroup ? ALL : ALL & ~(uint64_t)CLONE_NEWPID, has_cgroup);
        guest_run(&guest, &house,
                  &(struct guest_spec){ .script = "setsid sleep 1000 >/dev/null 2>&1 & sleep 1000 "
                                                  ">/dev/null 2>&1 & echo $! $$; exit 5" });
        cr_expect_eq(guest.end.exec.exit_code, 5);
        if (!has_cgroup) /* the numbers are ours to look at */
            cr_expect(ends((pid_t)strtol(guest.text, NULL, 10)), "%s", guest.text);
        house_fini(&house);
    }
}

Test(enter, what_is_left_in_a_pid_namespace_without_a_cgroup_dies_by_its_session)
{
    struct house house;
    struct guest guest, look;
    house_init(&house, ALL, false);
    guest_run(&guest, &house,
              &(struct guest_spec){ .script = "sleep 1000 >/dev/null 2>&1 & exit 5" });
    cr_expect_eq(guest.end.exec.exit_code, 5);
    guest_run(&look, &house, &(struct guest_spec){ .script = "grep -l sleep /proc/[0-9]*/comm" });
    cr_expect_str_eq(look.text, "");
    house_fini(&house);
}

Test(enter, a_hangup_kills_all)
{
    for (int has_cgroup = 0; has_cgroup < 2; has_cgroup++) {
        struct house house;
        struct guest guest;
        house_init(&house, ALL, has_cgroup);
        guest_start(&guest, &house,
                    &(struct guest_spec){
                        .script = "trap '' TERM HUP INT; sleep 1000 & echo go; sleep 1000" });
        guest_await_text(&guest, "go");
        guest_hang_up(&guest);
        cr_assert(guest_await(&guest, 2000), "no end in 2 s");
        cr_expect_eq(guest.end.exec.exit_code, 137);
        cr_expect_eq(guest.end.exec.signal, 9);
        guest_fini(&guest, &house);
        house_fini(&house);
    }
}

/* At every moment of the beginning: the pause grows by 0.1 ms. */
Test(enter, a_hangup_before_the_command_runs_leaves_nothing)
{
    struct house house;
    house_init(&house, ALL, true);
    for (int i = 0; i < 60; i++) {
        struct guest guest;
        guest_start(&guest, &house, &(struct guest_spec){ .script = "sleep 1000" });
        const struct timespec pause = { .tv_nsec = i * 100000 };
        (void)nanosleep(&pause, NULL);
        guest_hang_up(&guest);
        cr_assert(guest_await(&guest, WAIT_MS), "round %d", i);
        guest_fini(&guest, &house);
    }
    house_fini(&house);
}

Test(enter, a_frozen_agent_only_delays)
{
    struct err err = { 0 };
    struct house house;
    struct guest guest, given_up;
    house_init(&house, ALL, true);
    cr_assert(cgroup_freeze(&house.cgroup, true, &err), "%s", err.msg);
    guest_start(&given_up, &house, &(struct guest_spec){ .script = "sleep 1000" });
    cr_expect_not(guest_await(&given_up, 100));
    guest_hang_up(&given_up);
    cr_assert(guest_await(&given_up, WAIT_MS), "a hang-up is heard under a freeze");
    guest_fini(&given_up, &house);
    guest_start(&guest, &house, &(struct guest_spec){ .script = "echo thawed" });
    cr_expect_not(guest_await(&guest, 200));
    cr_expect_str_eq(guest.text, "");
    cr_assert(cgroup_freeze(&house.cgroup, false, &err), "%s", err.msg);
    cr_assert(guest_await(&guest, WAIT_MS));
    cr_expect_str_eq(guest.text, "thawed\n");
    cr_expect_eq(guest.end.exec.exit_code, 0);
    guest_fini(&guest, &house);
    house_fini(&house);
}

Test(enter, another_process_of_that_pid_is_not_entered)
{
    struct house house;
    struct guest guest;
    house_init(&house, ALL, true);
    guest_run(
        &guest, &house,
        &(struct guest_spec){ .script = "echo in", .start_ticks = house.who.start_ticks + 1 });
    cr_expect_eq(guest.end.exec.kind, ERR_NOT_FOUND, "%s", guest.end.exec.text);
    cr_expect_str_eq(guest.text, "");
    guest_run(&guest, &house, &(struct guest_spec){ .script = "echo in", .has_bad_boot_id = true });
    cr_expect_eq(guest.end.exec.kind, ERR_NOT_FOUND, "%s", guest.end.exec.text);
    cr_expect_str_eq(guest.text, "");
    house_fini(&house);
}

/* Whenever the agent dies and its tree is killed: afterwards nothing of the exec runs. */
Test(enter, not_beside_a_dead_agent)
{
    for (int i = 0; i < 40; i++) {
        struct err err = { 0 };
        struct house house;
        struct guest guest;
        struct cgroup_events now;
        house_init(&house, i % 2 ? ALL : CLONE_NEWUTS, true);
        guest_start(&guest, &house,
                    &(struct guest_spec){ .script = "setsid sleep 1000 & sleep 1000" });
        const struct timespec pause = { .tv_nsec = i * 150000 };
        (void)nanosleep(&pause, NULL);
        house_kill(&house);
        cr_assert(guest_await(&guest, WAIT_MS), "round %d", i);
        bool is_late = guest.end.exec.kind != ERR_NONE;
        cr_expect(is_late ? guest.end.exec.kind == ERR_NOT_FOUND : guest.end.exec.signal == 9,
                  "round %d: kind %d, signal %d, %s", i, guest.end.exec.kind, guest.end.exec.signal,
                  guest.end.exec.text);
        cr_assert(cgroup_events(&house.cgroup, &now, &err), "%s", err.msg);
        cr_expect_not(now.populated, "round %d", i);
        guest_fini(&guest, &house);
        house_fini(&house);
    }
}

Test(enter, the_death_of_the_helper_is_its_commands)
{
    struct house house;
    struct guest guest;
    house_init(&house, CLONE_NEWUTS, false); /* PIDs of ours */
    guest_start(&guest, &house, &(struct guest_spec){ .script = "echo $$ go; exec sleep 1000" });
    guest_await_text(&guest, "go");
    pid_t command = (pid_t)strtol(guest.text, NULL, 10);
    cr_assert(is_running(command));
    (void)kill(guest.helper, SIGKILL);
    cr_assert_not(guest_await(&guest, WAIT_MS), "hung up without a word");
    cr_expect(ends(command));
    guest_fini(&guest, &house);
    house_fini(&house);
}

Test(enter, says_what_could_not_be_done)
{
    struct house house;
    struct guest guest;
    house_init(&house, ALL, true);
    guest_run(&guest, &house, &(struct guest_spec){ .program = "/no/such/program" });
    cr_expect_eq(guest.end.exec.kind, ERR_NOT_FOUND);
    cr_expect_str_eq(guest.end.exec.text, "execute \"/no/such/program\": no such file");
    guest_run(&guest, &house, &(struct guest_spec){ .program = "/etc/passwd" });
    cr_expect_eq(guest.end.exec.kind, ERR_DENIED, "%s", guest.end.exec.text);
    guest_run(&guest, &house, &(struct guest_spec){ .script = "true", .cwd = "/no/such" });
    cr_expect_eq(guest.end.exec.kind, ERR_SYSTEM);
    cr_expect_str_eq(guest.end.exec.text,
                     "enter the working directory \"/no/such\": No such file or directory");
    house_fini(&house);
}

Test(enter, a_cgroup_that_is_gone_is_not_made_again)
{
    struct err err = { 0 };
    struct house house;
    struct guest guest;
    house_init(&house, ALL, true);
    char dir[CGROUP_PATH_MAX], other[CGROUP_PATH_MAX + 8];
    memcpy(dir, house.cgroup.path, sizeof(dir));
    (void)snprintf(other, sizeof(other), "%s-2", dir);
    struct cgroup second = CGROUP_NONE;
    cr_assert(cgroup_open(other, true, &second, &err) && place(&second, house.pid));
    cgroup_fini(&second);
    cr_assert(cgroup_remove(dir, &err), "%s", err.msg);
    guest_run(&guest, &house, &(struct guest_spec){ .script = "echo in" });
    cr_expect_eq(guest.end.exec.kind, ERR_NOT_FOUND, "%s", guest.end.exec.text);
    cr_expect_str_eq(guest.text, "");
    cr_expect_neq(access(dir, F_OK), 0);
    cgroup_fini(&house.cgroup);
    house_fini(&house);
    cr_expect(cgroup_remove(other, &err), "%s", err.msg);
}

Test(enter, the_terminal_is_the_controlling_one)
{
    struct house house;
    struct guest guest;
    int master, slave;
    struct winsize size = { .ws_row = 33, .ws_col = 77 };
    house_init(&house, ALL, true);
    cr_assert_eq(openpty(&master, &slave, NULL, NULL, &size), 0);
    guest_start(
        &guest, &house,
        &(struct guest_spec){ .script = "stty size; echo seen >/dev/tty; test -t 0 -a -t 1 -a -t 2",
                              .terminal = master,
                              .slave = slave });
    cr_assert(guest_await(&guest, WAIT_MS));
    cr_expect_eq(guest.end.exec.exit_code, 0);
    cr_expect_str_eq(guest.text, "33 77\r\nseen\r\n");
    guest_fini(&guest, &house);
    house_fini(&house);
}

/* In a child: descriptor 3 is somebody's here. */
static int kind_of_refusal(int fd)
{
    pid_t pid = fork();
    if (pid == 0) {
        static struct enter enter;
        struct err err = { 0 };
        bool is_taken = dup2(fd, EXEC_FD_SPEC) != EXEC_FD_SPEC || enter_take_spec(&enter, &err);
        _exit(is_taken ? 99 : (int)err.kind);
    }
    int status = -1;
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    return WEXITSTATUS(status);
}

Test(enter, refuses_what_is_no_sealed_spec)
{
    struct err err = { 0 };
    int pipes[2];
    cr_assert_eq(pipe2(pipes, O_CLOEXEC), 0);
    cr_expect_eq(kind_of_refusal(pipes[0]), ERR_INVALID);
    CLEANUP(fd_closep) struct fd sealed = FD_NONE;
    cr_assert(fd_sealed("bad", "AGNTEXEC?", 9, &sealed, &err));
    cr_expect_eq(kind_of_refusal(sealed.raw), ERR_CORRUPT);
}
