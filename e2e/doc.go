// Package e2e holds the tests that boot real images in virtual machines: real
// firmware, loader, kernel and dm-verity, releases from the real proa build, a
// repository from the real proa repo, and the real agent in the guest.
//
// Each test has a disk and a variable store of its own, and ends with the
// machine on the slot, and the agent with the exit code and the status, that
// its name promises. The reference images in images/ are locked and built here, too,
// and one of each kind is booted. They need QEMU, OVMF, mmdebstrap, umoci, skopeo,
// rpmbuild and createrepo_c, and fail without.
package e2e
