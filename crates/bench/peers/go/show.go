package main

import (
	"database/sql"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/access-tokens/access-tokens/gen/accesstoken/v1"
)

var tokenColumns = `
  t.id, t.number, t.life_cycle_state, t.authentication_code, t.identifier, t.card_masked_number, t.verified_date,
  t.verified_by_user, t.udf_string_1, t.udf_string_2, t.udf_string_3, t.udf_string_4, t.udf_string_5, t.udf_string_6,
  t.udf_string_7, t.udf_string_8, t.udf_float_1, t.udf_float_2, t.udf_float_3, t.udf_float_4, t.udf_date_1, t.udf_date_2,
  t.udf_date_3, t.udf_date_4, t.classification, t.created_date, t.created_by_user, t.created_by_unit,
  t.created_by_business_unit, t.updated_date, t.updated_by_user, t.updated_by_unit, t.updated_by_business_unit,
  p.id, p.number, p.life_cycle_state, ` + ownerColumns("a", "c")

// The token, its account with contact information, its participant.
const tokenJoins = `
FROM access_token t
LEFT JOIN accounts_receivable a ON a.organisation_key = t.organisation_key AND a.id = t.accounts_receivable
LEFT JOIN contact_information c ON c.organisation_key = a.organisation_key AND c.id = a.account_owner
LEFT JOIN rewards_participant p ON p.organisation_key = t.organisation_key AND p.id = t.rewards_participant`

const tokenCondition = `
WHERE t.organisation_key = $1 AND t.authentication_code = $2`

// Who remembers takes for granted that the participant belongs to the account of the token, as it nearly always does.
func rememberedStatement() string { return "SELECT " + tokenColumns + tokenJoins + tokenCondition }

// A token as a row has it.
type record struct {
	token                                   pb.AccessToken
	participant                             pb.RewardsParticipant
	owner                                   owner
	state                                   string
	verified, date1, date2, date3, date4    *int64
	created, updated                        int64
	verifiedBy, classification              *string
	createdBy, createdUnit, createdBusiness *string
	updatedBy, updatedUnit, updatedBusiness *string
	participantId, participantState         *string
}

func (r *record) fields() []any {
	t, p := &r.token, &r.participant
	return append([]any{&t.Id, &t.Number, &r.state, &t.AuthenticationCode, &t.Identifier, &t.CardMaskedNumber, &r.verified,
		&r.verifiedBy, &t.UdfString_1, &t.UdfString_2, &t.UdfString_3, &t.UdfString_4, &t.UdfString_5, &t.UdfString_6,
		&t.UdfString_7, &t.UdfString_8, &t.UdfFloat_1, &t.UdfFloat_2, &t.UdfFloat_3, &t.UdfFloat_4, &r.date1, &r.date2,
		&r.date3, &r.date4, &r.classification, &r.created, &r.createdBy, &r.createdUnit, &r.createdBusiness, &r.updated,
		&r.updatedBy, &r.updatedUnit, &r.updatedBusiness, &r.participantId, &p.Number, &r.participantState},
		r.owner.fields()...)
}

func (s *server) token(row *sql.Row) (*pb.AccessToken, error) {
	var (
		r     record
		j     *joined
		known reference = s.remembered
	)
	fields := r.fields()
	if s.remembered == nil {
		j = &joined{}
		known, fields = j, append(fields, j.fields()...)
	}
	err := row.Scan(fields...)
	if err == sql.ErrNoRows {
		return nil, status.Error(codes.NotFound, "no such access token")
	}
	if err != nil {
		return nil, status.Error(codes.Internal, "the database")
	}
	t := &r.token
	t.LifeCycleState = pb.AccessToken_LifeCycleState(pb.AccessToken_LifeCycleState_value[r.state])
	if t.CardMaskedNumber != nil && len(*t.CardMaskedNumber) >= 4 {
		last := (*t.CardMaskedNumber)[len(*t.CardMaskedNumber)-4:]
		t.CardLast_4Digits = &last
	}
	t.VerifiedDate, t.VerifiedByUser = moment(r.verified), known.user(r.verifiedBy)
	t.UdfDate_1, t.UdfDate_2, t.UdfDate_3, t.UdfDate_4 = moment(r.date1), moment(r.date2), moment(r.date3), moment(r.date4)
	t.Classification = known.classification(r.classification)
	t.LogInformation = &pb.LogInformation{
		CreatedDate: moment(&r.created), CreatedByUser: known.user(r.createdBy),
		CreatedByUnit: known.unit(r.createdUnit), CreatedByBusinessUnit: known.businessUnit(r.createdBusiness),
		UpdatedDate: moment(&r.updated), UpdatedByUser: known.user(r.updatedBy),
		UpdatedByUnit: known.unit(r.updatedUnit), UpdatedByBusinessUnit: known.businessUnit(r.updatedBusiness),
	}
	if t.AccountsReceivable, err = r.owner.message(known); err != nil || r.participantId == nil {
		return t, err
	}
	p := &r.participant
	p.Id = *r.participantId
	if r.participantState != nil {
		p.LifeCycleState = pb.RewardsParticipant_LifeCycleState(
			pb.RewardsParticipant_LifeCycleState_value[*r.participantState])
	}
	p.AccountsReceivable = t.AccountsReceivable
	if j != nil {
		p.AccountsReceivable, err = j.participants.message(known)
	}
	t.RewardsParticipant = p
	return t, err
}

func moment(micros *int64) *timestamppb.Timestamp {
	if micros == nil {
		return nil
	}
	return timestamppb.New(time.UnixMicro(*micros))
}
