package verity

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"testing"
)

func verify(data, tree []byte, root Root) *CorruptError {
	check := Check{Root: root, Data: bytes.NewReader(data), UUID: &testUUID}
	if tree != nil {
		check.Stored = bytes.NewReader(tree)
	}
	err := Verify(context.Background(), check)
	var corrupt *CorruptError
	if err != nil && !errors.As(err, &corrupt) {
		panic(err)
	}
	return corrupt
}

func TestEveryFlippedBitIsFoundAndLocated(t *testing.T) {
	const blocks, flips = 150, 1000
	data := image(blocks)
	tree, root := stored(t, data, testSalt())
	if err := verify(data, tree, root); err != nil {
		t.Fatalf("nothing flipped: %v", err)
	}
	random := rand.New(rand.NewPCG(7, 7))
	for range flips {
		at := random.IntN(len(data) + len(tree))
		bit := byte(1) << random.IntN(8)
		where, offset := data, at
		if at >= len(data) {
			where, offset = tree, at-len(data)
		}
		where[offset] ^= bit
		got := verify(data, tree, root)
		where[offset] ^= bit
		if got == nil {
			t.Fatalf("bit %#x of byte %d of image and tree flipped: not found", bit, at)
		}
		if got.Count != 1 || got.Unknown != 0 || len(got.Mismatches) != 1 {
			t.Fatalf("byte %d flipped: %+v: want one mismatch", at, got)
		}
		m := got.Mismatches[0]
		inData := m.Area == AreaData
		if inData != (at < len(data)) || m.Offset != int64(offset/BlockSize*BlockSize) {
			t.Fatalf("byte %d flipped: located at %v (offset %d)", at, m, m.Offset)
		}
	}
}

func TestAllBadBlocksAreListed(t *testing.T) {
	const blocks = 128*128 + 400 // three levels, the lowest of 132 blocks
	data := image(blocks)
	tree, root := stored(t, data, testSalt())
	level0 := levelOffset(blocks, 0)

	data[5*BlockSize] ^= 1
	data[16000*BlockSize+77] ^= 1
	tree[0] ^= 1                    // superblock
	tree[TopOffset+1] ^= 1          // top block: the data can replace it
	tree[level0+3*BlockSize+9] ^= 1 // of data blocks 384 to 511, which are good
	got := verify(data, tree, root)
	want := []Mismatch{
		{AreaSuperblock, 0, 0, 0},
		{AreaTree, 2, 0, TopOffset},
		{AreaTree, 0, 3, level0 + 3*BlockSize},
		{AreaData, 0, 5, 5 * BlockSize},
		{AreaData, 0, 16000, 16000 * BlockSize},
	}
	// The damage in the data changes the computed top block, so it cannot
	// replace the stored one: nothing below it can be judged.
	if got == nil || got.Count != 2 || got.Unknown != blocks {
		t.Fatalf("with the top block lost: %+v: want superblock and top block, all data unknown", got)
	}
	tree[TopOffset+1] ^= 1
	want = append(want[:1], want[2:]...)
	got = verify(data, tree, root)
	if got == nil || got.Unknown != 0 || len(got.Mismatches) != len(want) {
		t.Fatalf("%+v: want %v", got, want)
	}
	for i := range want {
		if got.Mismatches[i] != want[i] {
			t.Errorf("mismatch %d: %v: want %v", i, got.Mismatches[i], want[i])
		}
	}
}

func TestLostBlocksAreCountedAsUnknown(t *testing.T) {
	const blocks = 400
	data := image(blocks)
	tree, root := stored(t, data, testSalt())
	tree[levelOffset(blocks, 0)+BlockSize] ^= 1 // holds the hashes of blocks 128 to 255
	data[200*BlockSize] ^= 1
	got := verify(data, tree, root)
	if got == nil || got.Count != 1 || got.Unknown != 128 {
		t.Errorf("%+v: want one bad tree block, 128 blocks unknown", got)
	}
}

func TestDataAloneIsCheckedAgainstTheRootHash(t *testing.T) {
	data := image(130)
	_, root := stored(t, data, testSalt())
	if got := verify(data, nil, root); got != nil {
		t.Errorf("good data: %v", got)
	}
	data[129*BlockSize] ^= 0x80
	if got := verify(data, nil, root); got == nil || got.Count != 0 || got.Got == got.Want {
		t.Errorf("bad data: %+v: want a mismatch that is not located", got)
	}
}

func TestListOfBadBlocksIsBounded(t *testing.T) {
	data := image(3000)
	tree, root := stored(t, data, testSalt())
	clear(data)
	got := verify(data, tree, root)
	if got == nil || got.Count != 3000 || len(got.Mismatches) != 1000 {
		t.Errorf("%d of %d mismatches: want 1000 of 3000", len(got.Mismatches), got.Count)
	}
}

func TestAnotherSaltOrUUIDIsFound(t *testing.T) {
	data := image(20)
	tree, root := stored(t, data, testSalt())
	other := tree[sbUUID] ^ 1
	tree[sbUUID] = other
	if got := verify(data, tree, root); got == nil || got.Mismatches[0].Area != AreaSuperblock {
		t.Errorf("other UUID: %+v: want the superblock", got)
	}
	err := Verify(context.Background(), Check{Root: root, Data: bytes.NewReader(data), Stored: bytes.NewReader(tree)})
	if err != nil {
		t.Errorf("other UUID, none expected: %v", err)
	}
	root.Salt = append([]byte{1}, root.Salt...)
	if got := verify(data, tree, root); got == nil {
		t.Error("other salt: not found")
	}
}

func TestUnreadableOrShortTreeIsAnErrorOfItsOwn(t *testing.T) {
	data := image(200)
	tree, root := stored(t, data, testSalt())
	for name, check := range map[string]Check{
		"short tree":  {Root: root, Data: bytes.NewReader(data), Stored: bytes.NewReader(tree[:len(tree)-1])},
		"no tree":     {Root: root, Data: bytes.NewReader(data), Stored: bytes.NewReader(nil)},
		"short data":  {Root: root, Data: bytes.NewReader(data[:len(data)-1])},
		"broken disk": {Root: root, Data: brokenDisk{}},
	} {
		err := Verify(context.Background(), check)
		var corrupt *CorruptError
		if err == nil || errors.As(err, &corrupt) {
			t.Errorf("%s: %v: want an error that is not a CorruptError", name, err)
		}
	}
}
