package updater

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/partitions/cmdline"
	"github.com/proa-os/proa/partitions/luks"
	"github.com/proa-os/proa/partitions/ukifile"
	"github.com/proa-os/proa/updater/hostfs"
	"github.com/proa-os/proa/updater/journal"
)

// checkMayOpen refuses a kernel image, of which large parts may be missing yet,
// with which the machine would surely not open its /var. That is found out before
// anything of the slot is given up.
func (i *installation) checkMayOpen(image hostfs.File) error {
	return i.checkSeal(image, luks.Header.MayOpen)
}

// checkOpens refuses to arm a trial that would not open the machine's /var: it
// computes what the TPM will have measured when the release asks for the key.
func (i *installation) checkOpens(context.Context) error {
	name, _, err := i.kernelPaths()
	if err != nil {
		return err
	}
	image, err := i.FS.Open(name)
	if err != nil {
		return err
	}
	defer image.Close()
	return i.checkSeal(image, luks.Header.Opens)
}

func (i *installation) checkSeal(image hostfs.File, opens opening) error {
	err := i.checkVarOpens(image, i.offer.Transport.UKI.Size, i.target.Version, opens)
	if errors.Is(err, luks.ErrNoTPM) {
		i.note("no TPM opens this machine's /var, neither with this release nor with the one that runs")
		return nil
	}
	return err
}

// opensAgain refuses to go back to a release that would not open the machine's /var,
// which may have been encrypted or sealed anew since it led.
func (s *session) opensAgain(target journal.Target) error {
	path, err := s.control.KernelPath(target.Slot)
	if err != nil {
		return err
	}
	image, err := s.FS.Open(path)
	if err != nil {
		return err
	}
	defer image.Close()
	size, err := image.Size()
	if err == nil {
		err = s.checkVarOpens(image, size, target.Version, luks.Header.Opens)
	}
	if errors.Is(err, luks.ErrNoTPM) {
		return nil // nor does the one that runs
	}
	return err
}

// opening says whether a kernel image of so many bytes opens the volume.
type opening func(luks.Header, io.ReaderAt, int64) error

// checkVarOpens refuses the kernel image of a version with which the machine would
// not open its /var. luks.ErrNoTPM says that none does.
func (s *session) checkVarOpens(image io.ReaderAt, size int64, version manifests.Version, opens opening) error {
	header, err := s.varHeader()
	encrypted := !errors.Is(err, luks.ErrNone)
	if err != nil && encrypted {
		return err
	}
	line, err := ukifile.CommandLine(image, size)
	if err != nil {
		return refuse(version, "%v", err)
	}
	boot, err := cmdline.Parse(line)
	switch {
	case err != nil:
		return refuse(version, "its kernel image: %v", err)
	case !encrypted && !boot.VarTPM2:
		return nil
	case !encrypted:
		return refuse(version, "it wants /var encrypted, and this machine's is not: a machine is encrypted when it is installed")
	case !boot.VarTPM2:
		return refuse(version, "this machine's /var is encrypted, and its kernel image brings nothing to open it with")
	}
	err = opens(header, image, size)
	if err != nil && !errors.Is(err, luks.ErrNoTPM) {
		return refuse(version, "it would not open this machine's /var: %v", err)
	}
	return err
}

// varHeader is the header of an encrypted /var; luks.ErrNone if it is not encrypted.
func (s *session) varHeader() (luks.Header, error) {
	if _, err := s.disk.Find(partitions.RoleVar); err != nil {
		return luks.Header{}, luks.ErrNone
	}
	file, err := s.disk.OpenPartition(partitions.RoleVar, false)
	if err != nil {
		return luks.Header{}, err
	}
	defer file.Close()
	header, err := luks.Read(file)
	if err != nil {
		return luks.Header{}, fmt.Errorf("the var partition: %w", err)
	}
	return header, nil
}
