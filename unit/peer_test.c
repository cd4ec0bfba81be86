/*
 * peer_test.c - peer.c alone: addresses, networks, whom a chain of proxies stands for.
 */
#include "frontend.h"

#include "base/peer.c"

#include "check.h"

static bool
reads_as(const char *word, const char *expected)
{
	ExactPeer	peer;
	char		buffer[EXACT_PEER_TEXT];

	return exact_peer_parse(word, strlen(word), &peer) &&
		strcmp(exact_peer_text(&peer, buffer), expected) == 0;
}

static ExactPeer
peer_of(const char *word)
{
	ExactPeer	peer;

	CHECK(exact_peer_parse(word, strlen(word), &peer));
	return peer;
}

static int
networks(const char *list)
{
	ExactNetwork out[EXACT_MAX_NETWORKS];

	return exact_peer_networks(list, out);
}

static bool
within(const char *address, const char *list)
{
	ExactNetwork out[EXACT_MAX_NETWORKS];
	ExactPeer	peer = peer_of(address);

	return exact_peer_within(&peer, out, exact_peer_networks(list, out));
}

/* Whom a connection from `from` stands for, behind the proxies of the list */
static bool
client_is(const char *from, const char *forwarded_for, const char *list, const char *expected)
{
	ExactNetwork proxies[EXACT_MAX_NETWORKS];
	ExactPeer	peer = peer_of(from);
	ExactPeer	client;
	char		buffer[EXACT_PEER_TEXT];

	exact_peer_client(&peer, forwarded_for, proxies, exact_peer_networks(list, proxies), &client);
	return strcmp(exact_peer_text(&client, buffer), expected) == 0;
}

/* Addresses as the kernel gives them */
static void
test_sockets(void)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_scope_id = 0xffffffff};
	struct sockaddr local = {.sa_family = AF_UNIX};
	ExactPeer	peer;
	char		buffer[EXACT_PEER_TEXT];

	CHECK(inet_pton(AF_INET, "192.0.2.1", &v4.sin_addr) == 1);
	CHECK(inet_pton(AF_INET6, "2001:db8::7", &v6.sin6_addr) == 1);
	CHECK(exact_peer_from((struct sockaddr *) &v4, &peer) &&
		  strcmp(exact_peer_text(&peer, buffer), "192.0.2.1") == 0);
	CHECK(exact_peer_from((struct sockaddr *) &v6, &peer) &&
		  strcmp(exact_peer_text(&peer, buffer), "2001:db8::7") == 0);
	CHECK(!exact_peer_from(&local, &peer));
}

int
main(void)
{
	ExactPeer	a;
	ExactPeer	b;

	test_sockets();

	CHECK(reads_as("192.0.2.1", "192.0.2.1"));
	CHECK(reads_as("::ffff:192.0.2.1", "192.0.2.1"));
	CHECK(reads_as("2001:DB8::1", "2001:db8::1"));
	CHECK(!reads_as("", ""));
	CHECK(!reads_as("192.0.2", ""));
	CHECK(!reads_as("192.0.2.256", ""));
	CHECK(!reads_as("192.0.2.1 ", ""));
	CHECK(!reads_as("fe80::1%eth0", ""));
	CHECK(!exact_peer_parse("192.0.2.1\0", 10, &a));
	CHECK(!reads_as("1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc", ""));

	a = peer_of("192.0.2.1");
	b = peer_of("192.0.2.2");
	CHECK(!exact_peer_same_line(&a, &b));
	a = peer_of("2001:db8:0:1::1");
	b = peer_of("2001:db8:0:1:ffff::2");
	CHECK(exact_peer_same_line(&a, &b));
	b = peer_of("2001:db8:0:2::1");
	CHECK(!exact_peer_same_line(&a, &b));
	a = peer_of("::1");
	b = peer_of("10.0.0.1");
	CHECK(!exact_peer_same_line(&a, &b) && !exact_peer_same_line(&b, &a));

	CHECK(networks("") == 0 && networks("  ") == 0);
	CHECK(networks("10.0.0.1") == 1 && networks("10.0.0.1, 192.168.0.0/16 ,fd00::/8") == 3);
	CHECK(networks("10.0.0.1,") == -1 && networks(",") == -1 && networks("a") == -1 &&
		  networks("10.0.0.0/33") == -1);
	CHECK(networks("10.0.0.0/") == -1 && networks("10.0.0.0/-1") == -1 &&
		  networks("10.0.0.0/1x") == -1 && networks("::/129") == -1);
	CHECK(networks("10.0.0.0/00000000000000008") == -1);
	CHECK(within("10.1.2.3", "10.0.0.0/8") && !within("11.1.2.3", "10.0.0.0/8"));
	CHECK(within("10.127.0.1", "10.0.0.0/9") && !within("10.128.0.1", "10.0.0.0/9"));
	CHECK(within("10.0.0.127", "10.0.0.0/25") && !within("10.0.0.128", "10.0.0.0/25"));
	CHECK(within("203.0.113.9", "0.0.0.0/0") && !within("2001:db8::1", "0.0.0.0/0"));
	CHECK(within("2001:db8::1", "::/0") && within("10.0.0.1", "::/0"));
	CHECK(within("10.0.0.1", "::ffff:10.0.0.0/104") && !within("10.0.0.1", "192.0.2.1"));

	/* nobody is believed but the proxies, from the right */
	CHECK(client_is("203.0.113.9", "198.51.100.1", "", "203.0.113.9"));
	CHECK(client_is("203.0.113.9", "198.51.100.1", "10.0.0.0/8", "203.0.113.9"));
	CHECK(client_is("10.0.0.1", NULL, "10.0.0.0/8", "10.0.0.1"));
	CHECK(client_is("10.0.0.1", "", "10.0.0.0/8", "10.0.0.1"));
	CHECK(client_is("10.0.0.1", "198.51.100.1", "10.0.0.0/8", "198.51.100.1"));
	CHECK(client_is("10.0.0.1", "127.0.0.1, 198.51.100.1", "10.0.0.0/8", "198.51.100.1"));
	CHECK(client_is("10.0.0.1", "192.0.2.7, 198.51.100.1, 10.0.0.2", "10.0.0.0/8", "198.51.100.1"));
	CHECK(client_is("10.0.0.1", "10.0.0.3,10.0.0.2", "10.0.0.0/8", "10.0.0.3"));
	CHECK(client_is("10.0.0.1", "198.51.100.1, nonsense", "10.0.0.0/8", "10.0.0.1"));
	CHECK(client_is("10.0.0.1", "198.51.100.1,,", "10.0.0.0/8", "10.0.0.1"));
	CHECK(client_is("10.0.0.1", "198.51.100.1:4711", "10.0.0.0/8", "198.51.100.1"));
	CHECK(client_is("10.0.0.1", "[2001:db8::1]:4711", "10.0.0.0/8", "2001:db8::1"));
	CHECK(client_is("10.0.0.1", "[2001:db8::1]x", "10.0.0.0/8", "10.0.0.1"));
	CHECK(client_is("10.0.0.1", "\t 2001:db8::1 \t", "10.0.0.0/8", "2001:db8::1"));
	return checks_done();
}
