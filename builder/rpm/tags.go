package rpm

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// tag is the number of a value in a header.
type tag uint32

// The tags that are read or written
// (https://rpm-software-management.github.io/rpm/manual/tags.html).
const (
	tagSignatures tag = 62 // the region of the signature header
	tagImmutable  tag = 63 // the region of the header

	tagSigSize      tag = 257
	tagSigMD5       tag = 261
	tagDSAHeader    tag = 267
	tagRSAHeader    tag = 268
	tagSHA1Header   tag = 269
	tagLongSigSize  tag = 270
	tagLongArchive  tag = 271
	tagSHA256Header tag = 273
	tagOpenPGP      tag = 278
	tagSigPGP       tag = 1002 // over header and payload, in the signature header
	tagSigGPG       tag = 1005 // likewise

	tagName        tag = 1000
	tagVersion     tag = 1001
	tagRelease     tag = 1002
	tagEpoch       tag = 1003
	tagSummary     tag = 1004
	tagInstallTime tag = 1008
	tagVendor      tag = 1011
	tagLicense     tag = 1014
	tagGroup       tag = 1016
	tagArch        tag = 1022

	tagFileSizes       tag = 1028
	tagFileStates      tag = 1029
	tagFileModes       tag = 1030
	tagFileRdevs       tag = 1033
	tagFileDigests     tag = 1035
	tagFileLinks       tag = 1036
	tagFileFlags       tag = 1037
	tagFileUsers       tag = 1039
	tagFileGroups      tag = 1040
	tagSourceRPM       tag = 1044
	tagArchiveSize     tag = 1046
	tagProvideName     tag = 1047
	tagRequireFlags    tag = 1048
	tagRequireName     tag = 1049
	tagRequireVersion  tag = 1050
	tagConflictFlags   tag = 1053
	tagConflictName    tag = 1054
	tagConflictVersion tag = 1055
	tagTriggerName     tag = 1066
	tagObsoleteName    tag = 1090
	tagFileDevices     tag = 1095
	tagFileInodes      tag = 1096
	tagPrefixes        tag = 1098
	tagInstPrefixes    tag = 1099
	tagSourcePackage   tag = 1106
	tagProvideFlags    tag = 1112
	tagProvideVersion  tag = 1113
	tagObsoleteFlags   tag = 1114
	tagObsoleteVersion tag = 1115
	tagDirIndexes      tag = 1116
	tagBaseNames       tag = 1117
	tagDirNames        tag = 1118
	tagPayloadFormat   tag = 1124
	tagCompressor      tag = 1125
	tagInstallColor    tag = 1127
	tagInstallTID      tag = 1128

	tagLongFileSizes     tag = 5008
	tagFileCaps          tag = 5010
	tagFileDigestAlgo    tag = 5011
	tagRecommendName     tag = 5046
	tagRecommendVersion  tag = 5047
	tagRecommendFlags    tag = 5048
	tagSuggestName       tag = 5049
	tagSupplementName    tag = 5052
	tagSupplementVersion tag = 5053
	tagSupplementFlags   tag = 5054
	tagEnhanceName       tag = 5055
	tagFileTriggerName   tag = 5069
	tagFileTriggerIndex  tag = 5070
	tagTransTriggerName  tag = 5079
	tagTransTriggerIndex tag = 5080
	tagPayloadDigest     tag = 5092
	tagPayloadDigestAlgo tag = 5093
)

// has reports whether the header has the tag.
func (h *header) has(t tag) bool {
	_, ok := h.values[t]
	return ok
}

// strings are the values of a tag that has strings; none if it is not there.
func (h *header) strings(t tag) ([]string, error) {
	v, ok := h.values[t]
	if !ok {
		return nil, nil
	}
	if v.kind != kindString && v.kind != kindStrings && v.kind != kindI18N {
		return nil, fmt.Errorf("tag %d is of kind %d: want strings", t, v.kind)
	}
	all := strings.Split(string(v.data), "\x00")
	return all[:v.count], nil
}

// string is the one string of a tag, or the first of its translations; empty
// if it is not there.
func (h *header) string(t tag) (string, error) {
	all, err := h.strings(t)
	if err != nil || len(all) == 0 {
		return "", err
	}
	return all[0], nil
}

// numbers are the values of a tag that has integers of any width; none if it
// is not there.
func (h *header) numbers(t tag) ([]uint64, error) {
	v, ok := h.values[t]
	if !ok {
		return nil, nil
	}
	if v.kind < kindChar || v.kind > kindInt64 {
		return nil, fmt.Errorf("tag %d is of kind %d: want numbers", t, v.kind)
	}
	width := v.kind.width()
	all := make([]uint64, v.count)
	for i := range all {
		var wide [8]byte
		copy(wide[8-width:], v.data[i*width:(i+1)*width])
		all[i] = binary.BigEndian.Uint64(wide[:])
	}
	return all, nil
}

// number is the first number of a tag, or the given one if it is not there.
func (h *header) number(t tag, otherwise uint64) (uint64, error) {
	all, err := h.numbers(t)
	if err != nil || len(all) == 0 {
		return otherwise, err
	}
	return all[0], nil
}

// bytes are the binary value of a tag; none if it is not there.
func (h *header) bytes(t tag) ([]byte, error) {
	v, ok := h.values[t]
	if ok && v.kind != kindBin {
		return nil, fmt.Errorf("tag %d is of kind %d: want bytes", t, v.kind)
	}
	return v.data, nil
}

// columns reads tags that have one value for each of n things; a missing one
// is an error only when it is needed. Values that are not there are zero.
type columns struct {
	h   *header
	n   int
	err error
}

func (c *columns) check(t tag, n int, needed bool, err error) bool {
	switch {
	case c.err != nil:
	case err != nil:
		c.err = err
	case n == 0 && !needed:
	case n != c.n:
		c.err = fmt.Errorf("tag %d has %d values: want %d", t, n, c.n)
	}
	return c.err == nil
}

func (c *columns) strings(t tag, needed bool) []string {
	all, err := c.h.strings(t)
	if !c.check(t, len(all), needed, err) || len(all) == 0 {
		return make([]string, c.n)
	}
	return all
}

func (c *columns) numbers(t tag, needed bool) []uint64 {
	all, err := c.h.numbers(t)
	if !c.check(t, len(all), needed, err) || len(all) == 0 {
		return make([]uint64, c.n)
	}
	return all
}
