/*
 * bad_server.h - an HTTP server for http_client_test.c: a process per connection, told by the path
 * how to misbehave.
 */
#ifndef EXACT_UNIT_BAD_SERVER_H
#define EXACT_UNIT_BAD_SERVER_H

#include <netinet/in.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

static volatile int *posts;		/* POST requests that reached it */
static volatile int *connections;
static int	server_port;

static void
say(int fd, const char *text)
{
	if (write(fd, text, strlen(text)) < 0)
		_exit(0);
}

static bool
has_path(const char *request, const char *path)
{
	const char *at = strchr(request, ' ');

	return at != NULL && strncmp(at + 1, path, strlen(path)) == 0;
}

/* Reads one request with its body; false at the end of the connection. */
static bool
read_request(int fd, char *buffer, size_t size)
{
	size_t		len = 0;
	char	   *end;
	char	   *length;
	size_t		body;

	buffer[0] = '\0';
	while ((end = strstr(buffer, "\r\n\r\n")) == NULL)
	{
		ssize_t		n = read(fd, buffer + len, size - 1 - len);

		if (n <= 0)
			return false;
		len += n;
		buffer[len] = '\0';
	}
	length = strstr(buffer, "Content-Length: ");
	body = length && length < end ? strtoul(length + 16, NULL, 10) : 0;
	while (len < (size_t) (end + 4 - buffer) + body)
	{
		ssize_t		n = read(fd, buffer + len, size - 1 - len);

		if (n <= 0)
			return false;
		len += n;
		buffer[len] = '\0';
	}
	return true;
}

static void
serve(int fd)
{
	static char request[70000];
	static char block[65536];
	int			n = 0;

	while (read_request(fd, request, sizeof(request)))
	{
		n++;
		if (strncmp(request, "POST ", 5) == 0)
			__sync_fetch_and_add(posts, 1);
		if (has_path(request, "/ok"))
			say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nDate: Sun, 22 Nov 2026 14:02:07 "
				"GMT\r\nX-RateLimit-Remaining: 4893\r\n\r\nhello");
		else if (has_path(request, "/echo"))
		{
			char		head[128];

			snprintf(head, sizeof(head), "HTTP/1.1 201 Created\r\nContent-Length: %zu\r\n\r\n",
					 strlen(request));
			say(fd, head);
			say(fd, request);
		}
		else if (has_path(request, "/close"))
			return;
		else if (has_path(request, "/hang"))
			sleep(30);
		else if (has_path(request, "/partial"))
		{
			say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this");
			return;
		}
		else if (has_path(request, "/cut-chunk"))
		{
			say(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
			return;
		}
		else if (has_path(request, "/big"))
		{
			memset(block, 'x', sizeof(block) - 1);
			say(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
			for (int i = 0; i < 64; i++)
			{
				say(fd, "ffff\r\n");
				say(fd, block);
				say(fd, "\r\n");
			}
			say(fd, "0\r\n\r\n");
		}
		else if (has_path(request, "/many-headers"))
		{
			say(fd, "HTTP/1.1 200 OK\r\n");
			memset(block, 'h', 1000);
			block[1000] = '\0';
			for (int i = 0; i < 400; i++)
			{
				say(fd, "X-Filler: ");
				say(fd, block);
				say(fd, "\r\n");
			}
			say(fd, "Content-Length: 0\r\n\r\n");
		}
		else if (has_path(request, "/later/"))
		{
			/* what stands behind the path, with underscores for blanks, is the header */
			char	   *value = strstr(request, "/later/") + strlen("/later/");

			value[strcspn(value, " ")] = '\0';
			for (char *p = value; *p; p++)
				*p = *p == '_' ? ' ' : *p;
			snprintf(block, sizeof(block),
					 "HTTP/1.1 429 Later\r\nRetry-After: %s\r\nContent-Length: 0\r\n\r\n", value);
			say(fd, block);
		}
		else if (has_path(request, "/redirect"))
			say(fd, "HTTP/1.1 302 Found\r\nLocation: /ok\r\nContent-Length: 0\r\n\r\n");
		else if (has_path(request, "/once"))
		{
			/* answers the first request of a connection, closes at the second without a word */
			if (n > 1)
				return;
			say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nonce");
		}
		else
			say(fd, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
	}
}

static pid_t
start_server(void)
{
	int			listener = socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr_in address = {.sin_family = AF_INET,.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t	len = sizeof(address);
	pid_t		pid;

	posts = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	connections = posts + 1;
	if (bind(listener, (struct sockaddr *) &address, sizeof(address)) != 0 ||
		listen(listener, 256) != 0)
		abort();
	getsockname(listener, (struct sockaddr *) &address, &len);
	server_port = ntohs(address.sin_port);
	pid = fork();
	if (pid != 0)
	{
		close(listener);
		return pid;
	}
	signal(SIGCHLD, SIG_IGN);
	setpgid(0, 0);
	for (;;)
	{
		int			fd = accept(listener, NULL, NULL);

		if (fd < 0)
			_exit(1);
		__sync_fetch_and_add(connections, 1);
		if (fork() == 0)
		{
			close(listener);
			serve(fd);
			_exit(0);
		}
		close(fd);
	}
}

#endif
