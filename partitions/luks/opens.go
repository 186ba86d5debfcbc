package luks

import (
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/proa-os/proa/partitions/pcrpolicy"
	"github.com/proa-os/proa/partitions/ukifile"
)

// ErrNoTPM says that no TPM opens the partition, whatever is booted.
var ErrNoTPM = errors.New("no key of it is sealed by a TPM")

// MayOpen is Opens for an image of which only small sections are there yet: it
// looks at who signed policies for it, and not at what it measures.
func (h Header) MayOpen(image io.ReaderAt, size int64) error {
	return h.opens(image, size, func(signatures []byte, key *rsa.PublicKey) error {
		return pcrpolicy.CheckSigner(signatures, key)
	})
}

// Opens says whether the TPM would give its key to the kernel image of size
// bytes; the error says why not. It computes what the image will measure, so it
// need not run. That the TPM is the same one, and that registers that no image
// changes have the same values, it takes for granted.
func (h Header) Opens(image io.ReaderAt, size int64) error {
	measured, err := ukifile.Measurement(image, size)
	return h.opens(image, size, func(signatures []byte, key *rsa.PublicKey) error {
		if err != nil {
			return err
		}
		return pcrpolicy.Check(signatures, key, measured)
	})
}

func (h Header) opens(image io.ReaderAt, size int64, check func(signatures []byte, key *rsa.PublicKey) error) error {
	if len(h.TPM2) == 0 {
		return ErrNoTPM
	}
	var faults []error
	for _, way := range h.TPM2 {
		err := way.opens(image, size, check)
		if err == nil {
			return nil
		}
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}

// changing are registers that have another value with each release: what was
// started (4), what the kernel measured of it (9), and what its stub did (11).
var changing = []int{4, 9, pcrpolicy.Register}

func (t TPM2) opens(image io.ReaderAt, size int64, check func([]byte, *rsa.PublicKey) error) error {
	for _, register := range t.PCRs {
		if slices.Contains(changing, register) {
			return fmt.Errorf("the key is sealed to the value that PCR %d had, which is another one with each release", register)
		}
	}
	if len(t.SignedPCRs) == 0 {
		return nil
	}
	if !slices.Equal(t.SignedPCRs, []int{pcrpolicy.Register}) || t.Bank != "sha256" {
		return fmt.Errorf("the key is sealed to signed values of PCRs %v in bank %.16s: want %d in sha256", t.SignedPCRs, t.Bank, pcrpolicy.Register)
	}
	key, err := pcrpolicy.ParseKey(t.Key)
	if err != nil {
		return err
	}
	signatures, err := ukifile.ReadSection(image, size, ukifile.SectionPCRSignature, pcrpolicy.SignatureMost)
	if errors.Is(err, ukifile.ErrNoSection) {
		return errors.New("the kernel image has no signed PCR policy")
	}
	if err != nil {
		return err
	}
	return check(signatures, key)
}
