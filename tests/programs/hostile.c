// SPDX-License-Identifier: Apache-2.0
//
// hostile MODE INTERFACE MAC IP SECONDS - frames that nobody should send, from inside of a container.
//
// MAC and IP are those of another container on the bridge. Ends after SECONDS or 20,000 frames (a
// flood: 200,000), whatever comes first, and prints how many frames the kernel took and how many it refused.
// Modes:
//   macs       source addresses at random
//   identity   source address and ARP claims of the other one
//   giant      frames beyond every MTU, and offloaded ones with sizes that make no sense
//   checksums  IPv4, TCP, UDP and ICMP with sums, lengths and options that are wrong
//   storm      broadcasts
//   flood      large datagrams to IP
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { kMostFrames = 20000, kFlood = 10 * kMostFrames, kGiant = 60000, kVnetHeader = sizeof(struct virtio_net_hdr) };

static unsigned char frame[kVnetHeader + 65536];
static unsigned char *const packet = frame + kVnetHeader;
static unsigned char own[6], other[6];
static struct in_addr target;

static void Fail(const char *what) {
  fprintf(stderr, "hostile: %s: %s\n", what, strerror(errno));
  exit(1);
}

static double Now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void FillRandom(unsigned char *at, int size) {
  for (int i = 0; i < size; ++i) at[i] = (unsigned char)rand();
}

static void Ethernet(const unsigned char *to, const unsigned char *from, uint16_t type) {
  memcpy(packet, to, 6);
  memcpy(packet + 6, from, 6);
  packet[12] = (unsigned char)(type >> 8);
  packet[13] = (unsigned char)type;
}

static uint16_t Sum(const unsigned char *at, int size) {
  uint32_t sum = 0;
  for (int i = 0; i + 1 < size; i += 2) sum += (uint32_t)(at[i] << 8 | at[i + 1]);
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return (uint16_t)~sum;
}

// An IPv4 header for a packet of `size` bytes.
static void Ip(unsigned char protocol, int size) {
  unsigned char *ip = packet + 14;
  memset(ip, 0, 20);
  ip[0] = 0x45;
  ip[2] = (unsigned char)(size >> 8);
  ip[3] = (unsigned char)size;
  ip[8] = 64;
  ip[9] = protocol;
  FillRandom(ip + 12, 4);
  memcpy(ip + 16, &target, 4);
  const uint16_t sum = Sum(ip, 20);
  ip[10] = (unsigned char)(sum >> 8);
  ip[11] = (unsigned char)sum;
}

// Each of these makes the next frame and returns its size.
static int Macs(int n) {
  static const unsigned char kEveryone[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
  unsigned char from[6];
  FillRandom(from, 6);
  from[0] = (unsigned char)((from[0] & 0xfc) | 2);
  // A few thousand: the bridge learns each of them.
  if (n > 4000) memcpy(from, own, 6);
  Ethernet(n % 2 ? kEveryone : other, from, 0x88b5);
  return 60;
}

static int Identity(int n) {
  Ethernet(n % 2 ? own : other, other, 0x0806);
  static const unsigned char kReply[8] = {0, 1, 8, 0, 6, 4, 0, 2};
  unsigned char *arp = packet + 14;
  memcpy(arp, kReply, 8);
  memcpy(arp + 8, own, 6);
  memcpy(arp + 14, &target, 4);
  memset(arp + 18, 0xff, 6);
  memcpy(arp + 24, &target, 4);
  return 60;
}

static int Giant(int n) {
  struct virtio_net_hdr *vnet = (struct virtio_net_hdr *)frame;
  memset(vnet, 0, sizeof *vnet);
  Ethernet(other, own, ETHERTYPE_IP);
  Ip(6, kGiant - 14);
  packet[14 + 20 + 12] = 0x50;
  if (n % 4 != 0) {
    static const uint16_t kSizes[] = {0, 1, 7, 1448, 9000, 40000, 65535};
    vnet->flags = n % 8 < 4 ? VIRTIO_NET_HDR_F_NEEDS_CSUM : 0;
    vnet->gso_type = n % 4 == 1 ? VIRTIO_NET_HDR_GSO_TCPV4 : (unsigned char)rand();
    vnet->gso_size = kSizes[rand() % 7];
    vnet->hdr_len = n % 16 < 8 ? 54 : (uint16_t)rand();
    vnet->csum_start = n % 32 < 16 ? 34 : (uint16_t)rand();
    vnet->csum_offset = 16;
  }
  return kGiant;
}

static int Checksums(int n) {
  static const unsigned char kProtocols[] = {1, 6, 17, 47, 132};
  const int size = 20 + 8 + rand() % 400;
  Ethernet(other, own, ETHERTYPE_IP);
  Ip(kProtocols[n % 5], size);
  FillRandom(packet + 34, size - 20);
  if (n % 3 == 1) packet[24] ^= 0x55;
  if (n % 3 == 2) packet[14 + rand() % 10] = (unsigned char)rand();
  return 14 + size;
}

static int Storm(int n) {
  static const unsigned char kEveryone[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
  (void)n;
  Ethernet(kEveryone, own, ETHERTYPE_IP);
  Ip(17, 200);
  return 14 + 200;
}

static int Flood(int n) {
  (void)n;
  Ethernet(other, own, ETHERTYPE_IP);
  Ip(17, 1480);
  return 14 + 1480;
}

struct Mode {
  const char *name;
  int (*make)(int n);
  int vnet;
  int most;
};
static const struct Mode kModes[] = {
    {"macs", Macs, 0, kMostFrames},     {"identity", Identity, 0, kMostFrames},
    {"giant", Giant, 1, kMostFrames},   {"checksums", Checksums, 0, kMostFrames},
    {"storm", Storm, 0, kMostFrames},   {"flood", Flood, 0, kFlood}};

static int Open(const char *interface, int vnet) {
  const int fd = socket(AF_PACKET, SOCK_RAW, 0);
  if (fd < 0) Fail("socket");
  struct ifreq request;
  memset(&request, 0, sizeof request);
  snprintf(request.ifr_name, sizeof request.ifr_name, "%s", interface);
  if (ioctl(fd, SIOCGIFHWADDR, &request) != 0) Fail("hardware address");
  memcpy(own, request.ifr_hwaddr.sa_data, 6);
  if (vnet) {
    request.ifr_mtu = 65000;
    if (ioctl(fd, SIOCSIFMTU, &request) != 0) fprintf(stderr, "hostile: the MTU stays\n");
    if (setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &vnet, sizeof vnet) != 0) Fail("vnet header");
  }
  struct sockaddr_ll address;
  memset(&address, 0, sizeof address);
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(ETH_P_ALL);
  address.sll_ifindex = (int)if_nametoindex(interface);
  if (bind(fd, (const struct sockaddr *)&address, sizeof address) != 0) Fail("bind");
  return fd;
}

int main(int argc, char **argv) {
  const struct Mode *mode = NULL;
  for (size_t i = 0; argc == 6 && i < sizeof kModes / sizeof *kModes; ++i) {
    if (strcmp(argv[1], kModes[i].name) == 0) mode = &kModes[i];
  }
  if (mode == NULL || inet_aton(argv[4], &target) == 0 ||
      sscanf(argv[3], "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &other[0], &other[1], &other[2], &other[3],
             &other[4], &other[5]) != 6) {
    fprintf(stderr, "usage: hostile MODE INTERFACE MAC IP SECONDS\n");
    return 2;
  }
  const int fd = Open(argv[2], mode->vnet);
  const double end = Now() + atof(argv[5]);
  int taken = 0, refused = 0;
  printf("begin\n");
  fflush(stdout);
  while (taken + refused < mode->most && Now() < end) {
    const int size = mode->make(taken + refused);
    const ssize_t sent = mode->vnet ? write(fd, frame, (size_t)(kVnetHeader + size))
                                    : write(fd, packet, (size_t)size);
    ++*(sent > 0 ? &taken : &refused);
  }
  printf("%d taken, %d refused\n", taken, refused);
  return 0;
}
