/* Binds one IPv4 socket to the port that is the argument, for a libc that has little; says the port that it is shown and
   the one that it has. */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int count, char **words) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in asked = {.sin_family = AF_INET, .sin_port = htons(count > 1 ? atoi(words[1]) : 0)}, seen, real;
    socklen_t len = sizeof seen;
    if (bind(fd, (void *)&asked, sizeof asked) || getsockname(fd, (void *)&seen, &len)) return 1;
    len = sizeof real;
    syscall(SYS_getsockname, fd, &real, &len);
    printf("seen %d real %d\n", ntohs(seen.sin_port), ntohs(real.sin_port));
}
