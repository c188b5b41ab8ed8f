/* Binds in every odd way, and says for each: what bind returned, what getsockname shows, and where the socket really is,
   as the system says without a library between:
       NAME: RESULT seen=ADDRESS real=ADDRESS
   Arguments: OLD_PORT NEW_PORT MODE. MODE is "all", "untouched" (only what no library changes), "forbidden" (all in this
   process, without process_vm_readv), or "child", with which this program starts itself. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static int old_port, new_port;

static const char *text(struct sockaddr_storage *a, char *out) {
    char ip[64];
    if (a->ss_family == AF_INET) {
        struct sockaddr_in *v4 = (void *)a;
        inet_ntop(AF_INET, &v4->sin_addr, ip, sizeof ip);
        sprintf(out, "%s:%d", ip, ntohs(v4->sin_port));
    } else if (a->ss_family == AF_INET6) {
        struct sockaddr_in6 *v6 = (void *)a;
        inet_ntop(AF_INET6, &v6->sin6_addr, ip, sizeof ip);
        sprintf(out, "[%s]:%d", ip, ntohs(v6->sin6_port));
    } else {
        sprintf(out, "family %d", a->ss_family);
    }
    return out;
}

static void report(const char *name, int fd, int result, int error) {
    struct sockaddr_storage seen, real;
    memset(&seen, 0xee, sizeof seen);
    memset(&real, 0xee, sizeof real);
    socklen_t len = sizeof seen, real_len = sizeof real;
    char a[99] = "-", b[99] = "-";
    if (getsockname(fd, (void *)&seen, &len) == 0) text(&seen, a);
    if (syscall(SYS_getsockname, fd, &real, &real_len) == 0) text(&real, b);
    printf("%s: %s seen=%s real=%s\n", name, result == 0 ? "ok" : strerrorname_np(error), a, b);
    fflush(stdout);
}

static int v4_socket(void) { return socket(AF_INET, SOCK_STREAM, 0); }

static int v6_socket(int only) {
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof only);
    return fd;
}

static struct sockaddr_in v4(const char *ip, int port) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, ip, &a.sin_addr);
    return a;
}

static struct sockaddr_in6 v6(const char *ip, int port) {
    struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    inet_pton(AF_INET6, ip, &a.sin6_addr);
    return a;
}

/* Binds, reports, and leaves the socket open. errno must come through a success as it was. */
static void try(const char *name, int fd, const void *address, socklen_t len) {
    errno = 1234;
    int result = bind(fd, address, len);
    int error = errno;
    if (result == 0 && error != 1234) printf("%s: errno changed to %d\n", name, error);
    report(name, fd, result, error);
}

static void once(const char *name, int fd, const void *address, socklen_t len) {
    try(name, fd, address, len);
    close(fd);
}

static void once4(const char *name, const char *ip) {
    struct sockaddr_in a = v4(ip, old_port);
    once(name, v4_socket(), &a, sizeof a);
}

static void once6(const char *name, const char *ip, int only, socklen_t len) {
    struct sockaddr_in6 a = v6(ip, old_port);
    once(name, v6_socket(only), &a, len);
}

static void moved(void) {
    once4("moved v4 any", "0.0.0.0");
    once4("moved v4 loopback", "127.0.0.1");
    once4("moved v4 another", "127.0.0.2");
    struct sockaddr_in a = v4("0.0.0.0", old_port);
    a.sin_family = AF_UNSPEC;
    once("moved v4 any without family", v4_socket(), &a, sizeof a);
    once6("moved v6 any", "::", 0, 28);
    once6("moved v6 loopback", "::1", 0, 28);
    once6("moved v6 mapped", "::ffff:127.0.0.1", 0, 28);
    once6("moved v6 without scope", "::", 0, 24);
    once6("moved v6 only any", "::", 1, 28);
    once6("moved v6 only loopback", "::1", 1, 28);
    a = v4("0.0.0.0", old_port);
    once("moved v4 non-blocking", socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP), &a, sizeof a);
    char large[128] = {0};
    memcpy(large, &a, sizeof a);
    once("moved v4 of 128 bytes", v4_socket(), large, 128);
    char odd[40];
    memcpy(odd + 1, &a, sizeof a);
    once("moved v4 unaligned", v4_socket(), odd + 1, sizeof a);
}

static void listening(void) {
    struct sockaddr_in a = v4("0.0.0.0", old_port);
    int one = 1, fds[2];
    for (int n = 0; n < 2; n++) {
        fds[n] = v4_socket();
        setsockopt(fds[n], SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
        try(n ? "moved reuseport second" : "moved reuseport first", fds[n], &a, sizeof a);
        printf("listens %d\n", listen(fds[n], 5));
    }
    close(fds[0]);
    close(fds[1]);
    /* One listens; a second one can't, and is left as it was. */
    int first = v4_socket(), second = v4_socket(), reuse = -1;
    try("moved first of two", first, &a, sizeof a);
    printf("listens %d\n", listen(first, 5));
    try("second of two", second, &a, sizeof a);
    socklen_t len = sizeof reuse;
    getsockopt(second, SOL_SOCKET, SO_REUSEADDR, &reuse, &len);
    printf("reuse address %d\n", reuse);
    close(second);
    /* What asks for ::1 beside 127.0.0.1 gets it, since it would get it elsewhere. */
    once6("moved v6 loopback beside v4", "::1", 0, 28);
    once6("moved v6 only beside v4", "::", 1, 28);
    once6("v6 any beside v4", "::", 0, 28);
    /* A connection's own address has the port, too; and what it is connected to keeps its own. */
    struct sockaddr_in to = v4("127.0.0.1", new_port);
    int client = v4_socket();
    printf("connects %d\n", connect(client, (void *)&to, sizeof to));
    int server = accept(first, NULL, NULL);
    report("accepted", server, 0, 0);
    struct sockaddr_storage shown, real;
    len = sizeof shown;
    getsockname(client, (void *)&shown, &len);
    len = sizeof real;
    syscall(SYS_getsockname, client, &real, &len);
    printf("client %s\n", memcmp(&shown, &real, len) ? "changed" : "as it is");
    /* Short spaces. */
    for (int space = 0; space <= 5; space++) {
        unsigned char bytes[16];
        memset(bytes, 0xee, sizeof bytes);
        len = space;
        errno = 1234;
        int result = getsockname(first, (void *)bytes, &len);
        printf("space %d: %d errno %d len %d", space, result, errno, (int)len);
        for (int n = 2; n < 6; n++)
            printf(" %s", bytes[n] == 0xee ? "untouched" : n < 4 && bytes[n] == ((old_port >> (n == 2 ? 8 : 0)) & 255) ? "old" : n < 4 ? "new" : "ip");
        printf("\n");
    }
    close(first);
    close(client);
    close(server);
    int bound = v4_socket();
    try("moved then bound again", bound, &a, sizeof a);
    try("bound again", bound, &a, sizeof a);
    close(bound);
}

/* What has to be as without the library. */
static void untouched(void) {
    struct sockaddr_in a = v4("127.83.7.9", old_port), other = v4("127.83.7.9", new_port ^ 1), none = v4("127.83.7.9", 0);
    struct sockaddr_in6 b = v6("::1", old_port);
    once("udp", socket(AF_INET, SOCK_DGRAM, 0), &a, sizeof a);
    once("udp v6", socket(AF_INET6, SOCK_DGRAM, 0), &b, sizeof b);
    once("other port", v4_socket(), &other, sizeof other);
    int fd = v4_socket();
    int result = bind(fd, (void *)&none, sizeof none);
    struct sockaddr_in got;
    socklen_t len = sizeof got;
    getsockname(fd, (void *)&got, &len);
    printf("port 0: %d %s\n", result, got.sin_port && ntohs(got.sin_port) != new_port && got.sin_addr.s_addr == none.sin_addr.s_addr ? "of its own" : "wrong");
    close(fd);
    struct sockaddr_un u = {.sun_family = AF_UNIX};
    u.sun_path[0] = 0;
    memcpy(u.sun_path, &a.sin_port, 2);
    sprintf(u.sun_path + 2, "rebind-%d", (int)getpid());
    /* Whose first byte is 0 would be abstract, with another length. */
    if (u.sun_path[0]) {
        fd = socket(AF_UNIX, SOCK_STREAM, 0);
        once("unix", fd, &u, sizeof u);
        unlink(u.sun_path);
    }
    once("v4 socket, v6 address", v4_socket(), &b, sizeof b);
    struct sockaddr_in padded[2] = {a};
    once("v6 socket, v4 address", v6_socket(0), padded, 28);
    struct sockaddr_in unspec = a;
    unspec.sin_family = AF_UNSPEC;
    once("v4 without family, not any", v4_socket(), &unspec, sizeof unspec);
    once6("v6 only, mapped", "::ffff:127.0.0.1", 1, 28);
    once6("v6 multicast", "ff02::1", 0, 28);
    once6("v6 short", "::", 0, 23);
    once6("v6 as long as v4", "::", 0, 16);
    int lengths[] = {0, 1, 2, 4, 15, 129, 4096, -1};
    for (int n = 0; n < 8; n++) {
        char name[40];
        char large[4096] = {0};
        memcpy(large, &a, sizeof a);
        sprintf(name, "v4 length %d", lengths[n]);
        once(name, v4_socket(), large, lengths[n]);
    }
    long page = sysconf(_SC_PAGESIZE);
    char *map = mmap(0, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(map + page, page, PROT_NONE);
    once("null", v4_socket(), NULL, 16);
    once("pointer 1", v4_socket(), (void *)1, 16);
    once("kernel's pointer", v4_socket(), (void *)-4096L, 16);
    once("page that is not there", v4_socket(), map + page, 16);
    for (int inside = 1; inside < 16; inside += 7) {
        memcpy(map + page - inside, &a, inside);
        once("half a page that is not there", v4_socket(), map + page - inside, 16);
    }
    memcpy(map + page - 16, &a, 16);
    once("128 bytes, 16 there", v4_socket(), map + page - 16, 128);
    try("no descriptor", -1, &a, sizeof a);
    once("no socket", open("/dev/null", O_RDONLY), &a, sizeof a);
    fd = v4_socket();
    struct sockaddr_storage s;
    socklen_t bad = -1;
    int shown = getsockname(fd, (void *)&s, NULL);
    printf("getsockname null length: %d %s\n", shown, strerrorname_np(errno));
    shown = getsockname(fd, (void *)&s, (void *)(map + page));
    printf("getsockname bad length: %d %s\n", shown, strerrorname_np(errno));
    len = sizeof s;
    shown = getsockname(fd, NULL, &len);
    printf("getsockname null: %d %s\n", shown, strerrorname_np(errno));
    shown = getsockname(fd, (void *)&s, &bad);
    printf("getsockname negative: %d %s\n", shown, strerrorname_np(errno));
    len = sizeof s;
    shown = getsockname(-1, (void *)&s, &len);
    printf("getsockname no descriptor: %d %s\n", shown, strerrorname_np(errno));
    close(fd);
}

static int in_handler;
static void handler(int number) {
    (void)number;
    struct sockaddr_in a = v4("0.0.0.0", old_port);
    in_handler = v4_socket();
    if (bind(in_handler, (void *)&a, sizeof a)) in_handler = -1;
}

static void *in_thread(void *name) {
    once4(name, "0.0.0.0");
    return NULL;
}

static void forbid(int number) {
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {4, filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) perror("seccomp");
    if (syscall(SYS_process_vm_readv, getpid(), NULL, 0, NULL, 0, 0) != -1 || errno != EPERM) printf("not forbidden\n");
}

int main(int count, char **words) {
    if (count < 4) return 2;
    old_port = atoi(words[1]);
    new_port = atoi(words[2]);
    const char *mode = words[3];
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!strcmp(mode, "child")) {
        once4("moved after exec", "0.0.0.0");
        return 0;
    }
    if (!strcmp(mode, "forbidden")) forbid(SYS_process_vm_readv);
    if (strcmp(mode, "untouched")) moved(), listening();
    untouched();
    if (strcmp(mode, "all")) return 0;
    if (fork() == 0) {
        once4("moved after fork", "0.0.0.0");
        _exit(0);
    }
    wait(NULL);
    pthread_t thread;
    pthread_create(&thread, NULL, in_thread, "moved in a thread");
    pthread_join(thread, NULL);
    signal(SIGUSR1, handler);
    raise(SIGUSR1);
    report("moved in a handler", in_handler, in_handler < 0, EINVAL);
    close(in_handler);
    /* A program that closes every descriptor, and becomes another user if it can. */
    if (fork() == 0) {
        closefrom(3);
        if (getuid() == 0 && (setgid(65534) || setuid(65534))) return 3;
        execl("/proc/self/exe", words[0], words[1], words[2], "child", NULL);
        return 4;
    }
    int status = 0;
    wait(&status);
    if (status) printf("the child ended with %d\n", status);
    /* The library has read the environment at the start. */
    clearenv();
    once4("moved without environment", "0.0.0.0");
    execl("/proc/self/exe", words[0], words[1], words[2], "child", NULL);
    return 5;
}
