package sign

import (
	"bytes"
	"context"
	"fmt"

	"github.com/proa-os/proa/builder/uki"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/partitions/pcrpolicy"
	"github.com/proa-os/proa/partitions/ukifile"
	"github.com/proa-os/proa/signing/secureboot"
)

// signMeasurements puts a policy for what a TPM will measure of the kernel image
// into it. The policy's own section is not measured.
func (r *run) signMeasurements(context.Context) error {
	signed, err := secureboot.Signed(r.uki)
	if err != nil {
		return err
	}
	c, err := uki.Disassemble(r.uki)
	if err != nil {
		return err
	}
	if (signed || len(c.PCRSignature) > 0) && !r.Again {
		return fmt.Errorf("%s: %w", manifests.UKIFile, secureboot.ErrSigned)
	}
	c.PCRSignature = nil
	if len(c.PCRKey) > 0 {
		if c.PCRSignature, err = r.policy(c.PCRKey); err != nil {
			return err
		}
	}
	r.uki, err = uki.Assemble(c)
	return err
}

func (r *run) policy(text []byte) ([]byte, error) {
	known, err := pcrpolicy.ParseKey(text)
	if err != nil {
		return nil, err
	}
	if r.PCRKey == "" {
		return nil, ErrNoPCR
	}
	key, err := secureboot.OpenKey(r.PCRKey, known)
	if err != nil {
		return nil, fmt.Errorf("the key of the kernel image's PCR policies: %w", err)
	}
	pcr, err := ukifile.Measurement(bytes.NewReader(r.uki), int64(len(r.uki)))
	if err != nil {
		return nil, err
	}
	return pcrpolicy.Sign(key, pcr)
}

func (r *run) signKernel(ctx context.Context) (err error) {
	r.uki, err = r.sign(manifests.UKIFile, r.uki)
	return err
}

func (r *run) signLoader(ctx context.Context) (err error) {
	if r.Again {
		if r.loader, err = secureboot.Strip(r.loader); err != nil {
			return err
		}
	}
	r.loader, err = r.sign(manifests.LoaderFile, r.loader)
	return err
}

// sign signs a program and sets its checksum, which signatures do not cover and
// some tools look at.
func (r *run) sign(name string, program []byte) ([]byte, error) {
	signed, err := secureboot.Sign(program, r.Signer)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return signed, uki.SetChecksum(signed)
}
