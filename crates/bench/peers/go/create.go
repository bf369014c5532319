package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/access-tokens/access-tokens/gen/accesstoken/v1"
)

// Both owners at once, as far as they live and belong together.
const ownersStatement = `
SELECT 1 FROM accounts_receivable a
JOIN rewards_participant p ON p.organisation_key = a.organisation_key AND p.accounts_receivable = a.id
WHERE a.organisation_key = $1 AND a.id = $2 AND p.id = $3 AND a.life_cycle_state <> 'TERMINATED'
  AND p.life_cycle_state IS DISTINCT FROM 'TERMINATED'`

// And the classification, for who does not remember it.
const classifiedStatement = ownersStatement + `
  AND EXISTS (SELECT 1 FROM classification k WHERE k.organisation_key = $1 AND k.id = $4)`

const insertStatement = `
INSERT INTO access_token (organisation_key, id, number, life_cycle_state, authentication_code, card_masked_number,
  udf_string_1, udf_float_1, accounts_receivable, rewards_participant, classification, created_date, created_by_user,
  updated_date, updated_by_user)
VALUES ($1, $2, $3, 'EFFECTIVE', $4, $5, $6, $7, $8, $9, $10, $11, 'bench', $11, 'bench')`

const takeStatement = `
INSERT INTO number_sequence (organisation_key, name, next) VALUES ($1, 'peer', 101)
ON CONFLICT (organisation_key, name) DO UPDATE SET next = number_sequence.next + 100
RETURNING next - 100`

// Numbers, taken a hundred at a time.
type numbers struct {
	sync.Mutex
	take       *sql.Stmt
	next, last int64
}

func (n *numbers) draw(ctx context.Context) (int64, error) {
	n.Lock()
	defer n.Unlock()
	if n.next >= n.last {
		if err := n.take.QueryRowContext(ctx, organisation).Scan(&n.next); err != nil {
			return 0, err
		}
		n.last = n.next + 100
	}
	n.next++
	return n.next - 1, nil
}

func (s *server) CreateAccessToken(ctx context.Context, r *pb.CreateAccessTokenRequest) (*pb.AccessToken, error) {
	if err := s.check(ctx); err != nil {
		return nil, err
	}
	account, participant := r.GetAccountsReceivableIdentifier().GetId(), r.GetRewardsParticipantIdentifier().GetId()
	classification := r.GetClassificationIdentifier().GetId()
	named := []any{organisation, account, participant}
	if s.remembered == nil {
		named = append(named, classification)
	} else if s.remembered.classifications[classification] == nil {
		return nil, status.Error(codes.NotFound, "no such classification")
	}
	var one int
	if err := s.owners.QueryRowContext(ctx, named...).Scan(&one); err != nil {
		return nil, status.Error(codes.NotFound, "no such owners")
	}
	number, err := s.numbers.draw(ctx)
	if err != nil {
		return nil, status.Error(codes.Internal, "the database")
	}
	now := time.Now()
	code := random(now, 0)
	_, err = s.insert.ExecContext(ctx, organisation, random(now, 6), fmt.Sprintf("GT%010d", number), code,
		r.CardMaskedNumber, r.UdfString_1, r.UdfFloat_1, account, participant, classification, now.UnixMicro())
	if err != nil {
		return nil, status.Error(codes.Internal, "the database")
	}
	return s.token(s.show.QueryRowContext(ctx, organisation, code))
}

// 32 digits, of which so many bytes are the time: ids ascend.
func random(now time.Time, ascending int) string {
	var bytes [16]byte
	if _, err := rand.Read(bytes[:]); err != nil {
		panic(err)
	}
	var millis [8]byte
	binary.BigEndian.PutUint64(millis[:], uint64(now.UnixMilli()))
	copy(bytes[:ascending], millis[2:])
	return strings.ToUpper(hex.EncodeToString(bytes[:]))
}
