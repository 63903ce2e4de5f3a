package rollout

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"passage/durable"
)

// Keeper is a lane's memory of its releases: one file that is replaced as a
// whole, so that a power cut leaves the old one or the new one, and the contents
// on their way beside it.
//
// Whoever may write there may write the lane's own configuration, too: the
// signatures were proven when the release came and are kept as evidence.
type Keeper struct {
	dir string
	// Check says whether a configuration would start this lane.
	Check func(content []byte) error
	// Install brings the trust material in the file at path into the lane's store;
	// nil where the store cannot take any.
	Install func(path string) error
	// Rest takes the lane out of service if nobody is in it, and says whether it
	// did; undo gives it back. closed says that an officer has closed the lane.
	Rest func(context.Context) (undo func(), closed, ok bool)
	// Again ends the program, which is then started anew.
	Again func(why string)

	mu    sync.Mutex
	state kept
	busy  map[Kind]Status // what is on its way
}

// kept is the file.
type kept struct {
	Configuration slot `json:"configuration"`
	Trust         slot `json:"trust"`
	Closed        bool `json:"closed,omitempty"` // an officer had closed the lane before it started anew
}

// slot is what is kept of one kind.
type slot struct {
	Now     *held  `json:"now,omitempty"`    // in effect
	Former  *held  `json:"former,omitempty"` // the one before
	Highest uint64 `json:"highest"`          // number that was ever taken
	// Trials counts the starts with a new configuration that has not stood yet; 0
	// once it has.
	Trials  int    `json:"trials,omitempty"`
	Refused string `json:"refused,omitempty"` // digest of a release that does not hold here
	Why     string `json:"why,omitempty"`
	Had     []past `json:"had,omitempty"`
}

// held is a release with its proof, and its content if that is a configuration.
type held struct {
	Offer   Offer  `json:"offer"`
	Number  uint64 `json:"number"`
	Digest  string `json:"digest"`
	Content []byte `json:"content,omitempty"`
	Taken   int64  `json:"taken"` // Unix s
}

// past is a content that the lane has had.
type past struct {
	Number uint64 `json:"number"`
	SHA256 string `json:"sha256"`
}

const (
	trialsMost = 3 // starts that a new configuration has to stand
	pastKept   = 100
	maxKept    = 8 << 20
	keptName   = "releases.json"
	// Stands is how long a lane must have run on a configuration for it to stand.
	Stands = 30 * time.Second
)

// OpenKeeper reads what a lane keeps in a folder, which is made if it is missing.
func OpenKeeper(dir string) (*Keeper, error) {
	k := &Keeper{dir: dir, busy: map[Kind]Status{}}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("rollout: %w", err)
	}
	torn, _ := filepath.Glob(filepath.Join(dir, ".new-*")) // the pattern is a good one
	for _, path := range torn {
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("rollout: %w", err)
		}
	}
	f, err := os.Open(filepath.Join(dir, keptName))
	if errors.Is(err, fs.ErrNotExist) {
		return k, nil
	}
	if err != nil {
		return nil, fmt.Errorf("rollout: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxKept+1))
	if err == nil && len(b) > maxKept {
		err = errors.New("it is too large")
	}
	if err == nil {
		err = json.Unmarshal(b, &k.state)
	}
	if err != nil {
		return nil, fmt.Errorf("rollout: %s: %w: remove it, and the lane works by its own configuration until the site offers a release again", f.Name(), err)
	}
	return k, nil
}

func (k *Keeper) slot(kind Kind) *slot {
	if kind == Trust {
		return &k.state.Trust
	}
	return &k.state.Configuration
}

// save replaces the file. The lock is held.
func (k *Keeper) save() error {
	b, err := json.Marshal(k.state)
	if err != nil {
		return fmt.Errorf("rollout: %w", err)
	}
	if err := durable.Replace(filepath.Join(k.dir, keptName), b, 0o600); err != nil {
		return fmt.Errorf("rollout: %w", err)
	}
	return nil
}

// Begin gives the values that a starting lane works by, nil for its own, and the
// number of their release. One that does not hold with the lane's own file, or on
// which the lane has not stood in three starts, is refused for good, and the one
// before counts again.
func (k *Keeper) Begin() (content []byte, number uint64, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := &k.state.Configuration
	for s.Now != nil {
		why := ""
		if s.Trials > trialsMost {
			why = fmt.Sprintf("the lane did not come up with it in %d starts", trialsMost)
		} else if err := k.Check(s.Now.Content); err != nil {
			why = line(err)
		}
		if why == "" {
			break
		}
		s.Refused, s.Why = s.Now.Digest, why
		s.Now, s.Former, s.Trials = s.Former, nil, 0
		if err := k.save(); err != nil {
			return nil, 0, err
		}
	}
	if s.Now == nil {
		return nil, 0, nil
	}
	if s.Trials > 0 {
		s.Trials++
		if err := k.save(); err != nil {
			return nil, 0, err
		}
	}
	return s.Now.Content, s.Now.Number, nil
}

// Stood says that the lane has come up with what it began with.
func (k *Keeper) Stood() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.state.Configuration.Trials == 0 {
		return nil
	}
	k.state.Configuration.Trials = 0
	return k.save()
}

// WasClosed says whether an officer had closed the lane when it ended to start
// anew, once.
func (k *Keeper) WasClosed() (bool, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.state.Closed {
		return false, nil
	}
	k.state.Closed = false
	return true, k.save()
}

// Status is what the lane tells its site.
func (k *Keeper) Status() []Status {
	k.mu.Lock()
	defer k.mu.Unlock()
	var list []Status
	for _, kind := range Kinds {
		s, x := k.slot(kind), k.busy[kind]
		x.Kind, x.Refused, x.Why = kind, s.Refused, s.Why
		if s.Now != nil {
			x.Number, x.Digest = s.Now.Number, s.Now.Digest
		}
		list = append(list, x)
	}
	return list
}

// Wants says whether a proven release is to be taken. Older ones than the lane
// has ever had are not, and not one that it has refused: it says so by an error
// that wraps ErrRefused.
func (k *Keeper) Wants(v Proven) (bool, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.slot(v.Kind)
	switch {
	case s.Now != nil && s.Now.Digest == v.Digest, s.Refused == v.Digest:
		return false, nil
	case v.Number <= s.Highest:
		return false, refuse("number %d is not newer than %d, which this lane has had", v.Number, s.Highest)
	case v.Back == 0 && slices.ContainsFunc(s.Had, func(p past) bool { return p.SHA256 == v.SHA256 }):
		return false, refuse("this lane has had its content before: a way back must say so")
	case v.Back > 0 && !slices.ContainsFunc(s.Had, func(p past) bool { return p.SHA256 == v.SHA256 }) && slices.ContainsFunc(s.Had, func(p past) bool { return p.Number == v.Back }):
		return false, refuse("it is not the content of release %d", v.Back)
	case v.Kind == Trust && k.Install == nil:
		return false, refuse("the lane's trust folder is a plain one: trust.persons must name whose signatures count")
	}
	return true, nil
}

// Refuse remembers why a release is not taken: it is not asked for again.
func (k *Keeper) Refuse(v Proven, why error) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.busy, v.Kind)
	s := k.slot(v.Kind)
	if s.Refused == v.Digest {
		return nil
	}
	s.Refused, s.Why = v.Digest, line(why)
	return k.save()
}

// Says puts into the next report why an offer that could not even be proven is
// not taken. Nothing is remembered of it: another one may be good.
func (k *Keeper) Says(kind Kind, digest string, why error) {
	if kind.Most() == 0 {
		return // it could not even be read
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	x := Status{Taking: digest}
	if errors.Is(why, ErrRefused) {
		x.Waits = "refused: " + line(why)
	} else {
		x.Waits = line(why)
	}
	k.busy[kind] = x
}

// Fetch brings a release's content into a file of the lane's: it goes on where an
// earlier attempt was cut off. piece gives the bytes from an offset on. The file
// has the content's hash when its path is returned; ErrRefused if it has not.
func (k *Keeper) Fetch(v Proven, piece func(offset int64) ([]byte, error)) (path string, err error) {
	path = filepath.Join(k.dir, v.SHA256+".part")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return "", fmt.Errorf("rollout: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	k.tidy(path)
	at, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return "", fmt.Errorf("rollout: %w", err)
	}
	if at = min(at, v.Size) / PieceSize * PieceSize; at < v.Size { // a piece that was cut is fetched again
		if err := f.Truncate(at); err != nil {
			return "", fmt.Errorf("rollout: %w", err)
		}
	}
	for at < v.Size {
		k.progress(v, at)
		b, err := piece(at)
		if err != nil {
			return "", err
		}
		if want := min(PieceSize, v.Size-at); int64(len(b)) != want {
			return "", fmt.Errorf("rollout: a piece of %d bytes, not %d", len(b), want)
		}
		if _, err := f.WriteAt(b, at); err != nil {
			return "", fmt.Errorf("rollout: %w", err)
		}
		at += int64(len(b))
	}
	k.progress(v, at)
	h := sha256.New()
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return "", fmt.Errorf("rollout: %w", err)
	}
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("rollout: %w", err)
	}
	if hex.EncodeToString(h.Sum(nil)) != v.SHA256 {
		return "", errors.Join(refuse("what came is not what was signed"), os.Remove(path))
	}
	if err := f.Sync(); err != nil {
		return "", fmt.Errorf("rollout: %w", err)
	}
	return path, nil
}

// tidy removes contents that were given up.
func (k *Keeper) tidy(but string) {
	old, _ := filepath.Glob(filepath.Join(k.dir, "*.part")) // the pattern is a good one
	for _, path := range old {
		if info, err := os.Stat(path); path != but && err == nil && time.Since(info.ModTime()) > MostSoak {
			_ = os.Remove(path) // the next one tries again
		}
	}
}

func (k *Keeper) progress(v Proven, got int64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.busy[v.Kind] = Status{Taking: v.Digest, Got: got}
}

// Take puts a release that was proven and fetched into effect. The lane must be
// empty: ErrLater while it is not. A content that does not hold here is ErrRefused.
func (k *Keeper) Take(ctx context.Context, o Offer, v Proven, path string) error {
	var content []byte
	if v.Kind == Configuration {
		var err error
		if content, err = os.ReadFile(path); err != nil {
			return fmt.Errorf("rollout: %w", err)
		}
		if err := k.Check(content); err != nil {
			return errors.Join(refuse("it does not hold with this lane's own configuration: %w", err), os.Remove(path))
		}
	}
	undo, closed, ok := k.Rest(ctx)
	if !ok {
		k.Says(v.Kind, v.Digest, fmt.Errorf("%w: it waits until nobody is in the lane", ErrLater))
		return ErrLater
	}
	if v.Kind == Trust {
		defer undo()
		if err := k.Install(path); err != nil {
			return errors.Join(refuse("%w", err), os.Remove(path))
		}
	}
	if err := k.put(o, v, content, closed); err != nil {
		if v.Kind == Configuration {
			undo()
		}
		return err
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("rollout: %w", err)
	}
	if v.Kind == Configuration {
		k.Again(fmt.Sprintf("to take configuration %d, %s", v.Number, v.Name))
	}
	return nil
}

// put makes a release the one in effect.
func (k *Keeper) put(o Offer, v Proven, content []byte, closed bool) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	before := k.state
	s := k.slot(v.Kind)
	s.Former, s.Now = s.Now, &held{o, v.Number, v.Digest, content, time.Now().Unix()}
	s.Highest, s.Refused, s.Why = v.Number, "", ""
	s.Had = append(slices.Clone(s.Had), past{v.Number, v.SHA256})
	if n := len(s.Had) - pastKept; n > 0 {
		s.Had = slices.Delete(s.Had, 0, n)
	}
	if v.Kind == Configuration {
		s.Trials, k.state.Closed = 1, closed
	}
	if err := k.save(); err != nil {
		k.state = before
		return err
	}
	delete(k.busy, v.Kind)
	return nil
}
