/* Loaded into the program by run.py (LD_PRELOAD): it stops when the loader is done and before main begins, so
 * that a tracer sees nothing but the program's own calls. With FAULTS_HOLD=NUMBER:FILE the thread that is started
 * as this one waits before it does anything, and whoever starts it with it: it writes its number to FILE, and goes on
 * when FILE is removed. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct start {
    void *(*function)(void *);
    void *argument;
};

static atomic_int started, released;
static int held;
static char file[4096];

__attribute__((constructor)) static void stop(void)
{
    const char *hold = getenv("FAULTS_HOLD");
    const char *name = hold ? strchr(hold, ':') : NULL;
    if (name) {
        held = atoi(hold);
        snprintf(file, sizeof file, "%s", name + 1);
    }
    unsetenv("FAULTS_HOLD");
    unsetenv("LD_PRELOAD");
    raise(SIGSTOP);
}

static void *wait_first(void *pointer)
{
    struct start start = *(struct start *)pointer;
    char draft[sizeof file + 4];
    snprintf(draft, sizeof draft, "%s.new", file);
    FILE *out = fopen(draft, "w");
    if (out) {
        fprintf(out, "%d", gettid());
        fclose(out);
        rename(draft, file);
    }
    while (access(file, F_OK) == 0)
        usleep(1000);
    atomic_store(&released, 1);
    free(pointer);
    return start.function(start.argument);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *how, void *(*function)(void *), void *argument)
{
    int (*create)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *) =
        dlsym(RTLD_NEXT, "pthread_create");
    if (atomic_fetch_add(&started, 1) + 1 != held)
        return create(thread, how, function, argument);
    struct start *start = malloc(sizeof *start);
    *start = (struct start){function, argument};
    int result = create(thread, how, wait_first, start);
    while (result == 0 && !atomic_load(&released))
        usleep(1000);
    return result;
}
