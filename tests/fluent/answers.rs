//! SQL's answers where the data has a quirk of Fluent Bit, worked out by hand.

use serde_json::{Value, json};

/// How the records are timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    /// Each has the time at which it came.
    Arrival,
    /// 1, 2, 3, … seconds.
    Counted,
}

pub struct Answer {
    pub expected: Value,
    pub times: Times,
    /// The window whose row is looked at, by its start in seconds.
    pub window: Option<i64>,
    pub why: &'static str,
}

/// The answer to a case, if it is not the one that stands there.
pub fn of(name: &str) -> Option<Answer> {
    let answer =
        |why, expected| Some(Answer { expected, times: Times::Arrival, window: None, why });
    match name {
        "select_cond_not_null" => answer("an absent key is NULL", json!({"rows": 0})),
        "select_cond_null" => {
            answer("an absent key is NULL", json!({"rows": 5, "ids": [0, 1, 5, 7, 10]}))
        }
        "select_aggr_groupby" => answer(
            "an absent key is NULL, Booleans stay Booleans, groups come in the order of their keys",
            json!({"rows": 2, "ordered": true, "tolerance": 1e-5, "values": [
                {"bool": false, "MIN(id)": 6, "MAX(id)": 9, "COUNT(*)": 2, "SUM(bytes)": 20.5, "AVG(bytes)": 10.25},
                {"bool": true, "MIN(id)": 2, "MAX(id)": 8, "COUNT(*)": 4, "SUM(bytes)": 40.0, "AVG(bytes)": 10.0},
            ]}),
        ),
        "select_sum_sub_keys_group_by" => answer(
            "records without the key are the group NULL, whose sum is NULL: a row without anything is no point",
            json!({"rows": 3, "ordered": true, "values": [
                {"SUM(map['sub1']['sub3'])": 105.5},
                {"SUM(map['sub1']['sub3'])": 0.5},
                {"SUM(map['sub1']['sub3'])": 10.5},
            ]}),
        ),
        "select_sum_sub_keys_group_by_2" => answer(
            "records without the keys are the group NULL, whose sum is NULL: a row without anything is no point",
            json!({"rows": 3, "ordered": true, "values": [
                {"map['sub1']['stype']": "a", "map['mtype']": 0, "SUM(map['sub1']['sub3'])": 105.5},
                {"map['sub1']['stype']": "b", "map['mtype']": 1, "SUM(map['sub1']['sub3'])": 0.5},
                {"map['sub1']['stype']": "b", "map['mtype']": 2, "SUM(map['sub1']['sub3'])": 10.5},
            ]}),
        ),
        "window_5_seconds" => answer(
            "an absent key is NULL: five times the ids 2, 3, 4, 6, 8 and 9",
            json!({"rows": 1, "values": [{"SUM(id)": 160, "AVG(id)": 160.0 / 30.0}]}),
        ),
        "hopping_window_5_seconds" => Some(Answer {
            window: Some(2),
            ..answer(
                "an absent key is NULL: of files 3 to 7 the ids 8, 9, 13, 14, 15, 17, 19, 20, 24 and 25",
                json!({"rows": 1, "values": [{"SUM(id)": 164, "AVG(id)": 16.4}]}),
            )?
        }),
        "timeseries_forecast_window_tumbling" => Some(Answer {
            times: Times::Counted,
            ..answer(
                "windows are those of the records' times, 1 to 11 s, which is three windows of 5 s",
                json!({"rows": 3, "ordered": true, "values": [
                    {"AVG(usage)": 25.0, "TIMESERIES_FORECAST(usage)": 240.0},
                    {"AVG(usage)": 70.0, "TIMESERIES_FORECAST(usage)": 290.0},
                    {"AVG(usage)": 105.0, "TIMESERIES_FORECAST(usage)": 310.0},
                ]}),
            )?
        }),
        "conv_from_str_to_num" => answer(
            "a text that is a group key stays text",
            json!({"rows": 1, "values": [{"word": "hoge", "num": "123456", "COUNT(*)": 1}]}),
        ),
        _ => None,
    }
}
