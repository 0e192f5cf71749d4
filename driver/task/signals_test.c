#include "driver/task/signals.h"

#include <criterion/criterion.h>
#include <signal.h>

Test(signals, knows_the_names_nomad_uses)
{
    int signo = 0;
    cr_assert(signal_parse("SIGTERM", &signo) && signo == SIGTERM);
    cr_assert(signal_parse("sighup", &signo) && signo == SIGHUP);
    cr_assert(signal_parse("USR1", &signo) && signo == SIGUSR1);
    cr_assert(signal_parse("SIGKILL", &signo) && signo == SIGKILL);
}

Test(signals, knows_no_others)
{
    int signo = 77;
    const char *const names[] = { "", "SIG", "DETACH", "15", "SIGTERMX", "SIGSIGTERM", "SIGTER" };
    for (int i = 0; i < 7; i++)
        cr_assert_not(signal_parse(names[i], &signo), "%s", names[i]);
    cr_assert_eq(signo, 77);
}
