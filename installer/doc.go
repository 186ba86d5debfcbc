// Package installer puts a release onto a disk, or into the file of one.
//
// Open a Source: a folder of a build, a repository, or the live system that runs;
// then Install. Disks lists where that could be done.
//
// The order of the writes makes a power cut harmless: the old partition table goes
// first, the new one comes last, and each of them by one sector. In between the disk
// has no table, so nothing boots from it; a mark says that it was given to us, and the
// next run goes on without being told again, and without writing what is right
// already. What was written is read back from the medium before the table counts.
package installer
