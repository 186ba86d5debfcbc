package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"time"
)

const (
	tpmPath = "/dev/tpmrm0"
	tpmWait = 3 * time.Second // for a driver that has been loaded to find its chip
)

// findTPM waits a moment for the TPM.
func findTPM() error {
	for deadline := time.Now().Add(tpmWait); ; time.Sleep(pollInterval) {
		if _, err := os.Stat(tpmPath); err == nil {
			return nil
		} else if time.Now().After(deadline) {
			return fmt.Errorf("this machine has no TPM 2.0: %w", err)
		}
	}
}

// leaveInitrd measures the word with which systemd ends the phase of the initrd
// (systemd-pcrphase.service(8)): PCR 11 then has a value that nobody has signed, so
// that what runs later does not get from the TPM what the initrd got.
func leaveInitrd() error {
	tpm, err := os.OpenFile(tpmPath, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer tpm.Close()
	if _, err := tpm.Write(pcrEvent(11, "leave-initrd")); err != nil {
		return err
	}
	answer := make([]byte, 4096) // the most that a TPM says
	n, err := tpm.Read(answer)
	if err != nil {
		return err
	}
	return checkAnswer(answer[:n])
}

// pcrEvent is the command that measures an event in all banks of a register
// (TPM 2.0 Library Specification, part 3, TPM2_PCR_Event).
func pcrEvent(register uint32, event string) []byte {
	const (
		sessions = 0x8002     // TPM_ST_SESSIONS
		code     = 0x0000013c // TPM_CC_PCR_Event
		password = 0x40000009 // TPM_RS_PW, here an empty one
	)
	order := binary.BigEndian
	body := order.AppendUint32(nil, register)
	body = order.AppendUint32(body, 9) // bytes of the session
	body = order.AppendUint32(body, password)
	body = append(body, 0, 0, 0, 0, 0) // no nonce, no attributes, no password
	body = order.AppendUint16(body, uint16(len(event)))
	body = append(body, event...)
	command := order.AppendUint16(nil, sessions)
	command = order.AppendUint32(command, uint32(10+len(body)))
	command = order.AppendUint32(command, code)
	return append(command, body...)
}

// checkAnswer is nil if the TPM did what it was told.
func checkAnswer(answer []byte) error {
	if len(answer) < 10 {
		return fmt.Errorf("the TPM answered %d bytes: want at least 10", len(answer))
	}
	if code := binary.BigEndian.Uint32(answer[6:]); code != 0 {
		return fmt.Errorf("the TPM answered with error %#x", code)
	}
	return nil
}
