// Package rehearsal tries an update before anybody gets it: on virtual machines
// that run the releases which hosts run now, that update themselves from the real
// repository, and to which on the way is done what happens to hosts.
//
// Run installs each older release onto a disk, as proa install would, and boots it
// in QEMU. The images are those that hosts get; nothing is put into them, and
// nothing in them answers questions. A machine is only configured, as any owner
// configures one: to follow a channel of the repository, which is served on the
// loopback, and to ask a URL as one more health check. The rest is seen from
// outside: what the machine asks the server for, which slot the boot partition
// names, what the state partition and the firmware's variables say, and why QEMU
// ended.
//
// Report is the outcome: a table, JUnit XML, or, of one that passed, an in-toto
// statement to sign (manifests.Rehearsal).
package rehearsal
