/* defaults.c - what ThreadSanitizer must know, inside every program of the tsan preset.
 *
 * Not in TSAN_OPTIONS: a plugin, a shim and whatever a test starts with an environment of its own
 * never see that variable. Without the suppressions they reported the library's invisible locks
 * until the pipe of their standard error was full, and stood still: one thread in that write, the
 * others at the lock of the report. So hung agent-dev in its stop, and conformance C73. */
const char *__tsan_default_options(void);
const char *__tsan_default_suppressions(void);

/* The text of tsan.supp, as the build found it. */
__asm__(".pushsection .rodata\n"
        "tsan_supp_text: .incbin \"" TSAN_SUPP "\"\n"
        ".byte 0\n"
        ".popsection\n");
extern const char tsan_supp_text[];

/* The sleep of a second before each exit would be counted as slowness of ours. */
const char *__tsan_default_options(void) { return "halt_on_error=1 atexit_sleep_ms=0"; }
const char *__tsan_default_suppressions(void) { return tsan_supp_text; }
